use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// No age matters.
fn ageless() -> Config {
    Config {
        idle_timeout: None,
        keepalive: None,
        max_lifetime: None,
        check_policy: CheckPolicy::Never,
        ..Config::default()
    }
}

#[test]
fn the_tick_is_a_tenth_of_the_shortest_age_and_at_most_a_second() {
    let with = |change: fn(&mut Config, Duration), age: Duration| {
        let mut config = ageless();
        change(&mut config, age);
        config.tick()
    };
    let ages: [fn(&mut Config, Duration); 4] = [
        |config, age| config.idle_timeout = Some(age),
        |config, age| config.keepalive = Some(age),
        |config, age| config.max_lifetime = Some(age),
        |config, age| config.check_policy = CheckPolicy::IdleFor(age),
    ];
    let second = Tick::Every(ms(1000));
    for age in ages {
        assert_eq!(with(age, ms(20_000)), second);
        assert_eq!(with(age, ms(10_000)), second);
        assert_eq!(with(age, ms(500)), Tick::Every(ms(50)));
        assert_eq!(with(age, ms(10)), Tick::Every(ms(1)));
        assert_eq!(with(age, Duration::from_micros(9_999)), Tick::Exact);
        assert_eq!(with(age, Duration::ZERO), Tick::Exact);
    }
    assert_eq!(ageless().tick(), second);
    let mut config = ageless();
    config.check_policy = CheckPolicy::Always;
    assert_eq!(config.tick(), second, "that is no age");
    config.keepalive = Some(ms(30));
    config.max_lifetime = Some(ms(20));
    assert_eq!(config.tick(), Tick::Every(ms(2)), "the shortest counts");
}

#[test]
fn lifetimes_are_drawn_from_the_share_below_the_longest() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut config = ageless();
    assert_eq!(config.draw_lifetime(&mut rng), None);
    config.max_lifetime = Some(ms(1000));
    config.lifetime_jitter = 0.0;
    assert_eq!(config.draw_lifetime(&mut rng), Some(ms(1000)));
    config.lifetime_jitter = 0.2;
    let drawn: Vec<_> = (0..1000)
        .filter_map(|_| config.draw_lifetime(&mut rng))
        .collect();
    assert!(drawn.iter().all(|&life| life > ms(800) && life <= ms(1000)));
    assert!(drawn.iter().any(|&life| life < ms(820)));
    assert!(drawn.iter().any(|&life| life > ms(980)));
}

#[test]
fn each_setting_that_makes_no_sense_is_found_and_its_neighbour_is_not() {
    let valid = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.validate().is_ok()
    };
    assert!(valid(|_| ()));
    assert!(valid(|config| config.max_size = 1));
    assert!(!valid(|config| config.max_size = 0));
    assert!(valid(|config| config.min_idle = config.max_size));
    assert!(!valid(|config| config.min_idle = config.max_size + 1));
    assert!(valid(
        |config| (config.min_idle, config.max_idle) = (2, Some(2))
    ));
    assert!(!valid(
        |config| (config.min_idle, config.max_idle) = (2, Some(1))
    ));
    assert!(valid(|config| config.lifetime_jitter = 0.0));
    assert!(!valid(|config| config.lifetime_jitter = 1.0));
    assert!(!valid(|config| config.lifetime_jitter = -0.1));
    assert!(!valid(|config| config.lifetime_jitter = f64::NAN));
    assert!(valid(
        |config| config.connect_policy = ConnectPolicy::FailFast
    ));
    assert!(!valid(|config| {
        config.connect_policy = ConnectPolicy::Retry(Backoff::new(ms(2), ms(1)));
    }));
}
