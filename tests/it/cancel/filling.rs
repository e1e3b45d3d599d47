//! `fill`.

use super::{Act, assert_at_least, drop_after_every_poll, fates};

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Closing,
    Shrink,
    Adoption,
    Death,
}

/// Guarantee 8. First connect x second connect x what happens meanwhile, before the first poll,
/// after it, or one later: 375 situations.
#[test]
fn fill_loses_nothing() {
    use Meanwhile::{Adoption, Closing, Death, Nothing, Shrink};
    let mut cases = 0;
    for (first_fate, first) in fates() {
        for (second_fate, second) in fates() {
            for meanwhile in [Nothing, Closing, Shrink, Adoption, Death] {
                for at in 0..3 {
                    cases += drop_after_every_poll(
                        &format!("connects: {first_fate}, {second_fate}, {meanwhile:?} at {at}"),
                        |set| {
                            set.w.connects().next([first.clone(), second.clone()]);
                            set.pool(|b| b.max_size(3).min_idle(2))
                        },
                        |set, pool| {
                            let fill = async { drop(pool.fill().await) };
                            Act::of(fill).and(at, move || match meanwhile {
                                Nothing => {}
                                Closing => drop(pool.close()),
                                Shrink => pool.resize(1),
                                Adoption => {
                                    let own = set.w.connection_from_elsewhere();
                                    drop(pool.adopt(own));
                                }
                                Death => set.clock.kill(),
                            })
                        },
                    );
                }
            }
        }
    }
    assert_at_least(8_000, cases);
}
