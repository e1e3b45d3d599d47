//! The faults that come from outside: what goes wrong, and when.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::roster::Roster;
use crate::tally::Tally;

/// Between two faults.
const CALM: Range<u64> = 50..400;

/// How the server does at the moment.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    spells: Mutex<Spells>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spells {
    refusing_until: Option<Instant>,
    hanging_until: Option<Instant>,
    calm_until: Option<Instant>,
}

impl Weather {
    /// Are connects being refused?
    pub(crate) fn refuses(&self) -> bool {
        is_ahead(self.spells().refusing_until).is_some()
    }

    /// Until when connects hang, if they do.
    pub(crate) fn hangs_until(&self) -> Option<Instant> {
        is_ahead(self.spells().hanging_until)
    }

    /// Until when nobody asks for anything, so that connections grow old enough to be checked.
    pub(crate) fn calm_until(&self) -> Option<Instant> {
        is_ahead(self.spells().calm_until)
    }

    fn spells(&self) -> Spells {
        *self.spells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Spells)) {
        change(&mut self.spells.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn is_ahead(until: Option<Instant>) -> Option<Instant> {
    until.filter(|&until| until > Instant::now())
}

/// One blow.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Kill the process that this falls on.
    Kill(usize),
    /// Refuse connects for so long.
    Refuse(Duration),
    /// Let connects hang for so long, often longer than the pool gives them.
    Hang(Duration),
    /// Stop asking for so long.
    Lull(Duration),
}

impl Fault {
    fn draw(rng: &mut Rng) -> Fault {
        match rng.u8(..100) {
            0..92 => Fault::Kill(rng.usize(..)),
            92..96 => Fault::Refuse(millis(rng, 50..1000)),
            96..98 => Fault::Hang(millis(rng, 50..1500)),
            _ => Fault::Lull(millis(rng, 1100..1600)),
        }
    }
}

/// Makes bad weather. The seed alone decides which fault comes next and after how long.
pub(crate) struct Storm {
    rng: Rng,
    weather: Arc<Weather>,
    roster: Arc<Roster>,
    tally: Arc<Tally>,
}

impl Storm {
    pub(crate) fn new(
        seed: u64,
        weather: Arc<Weather>,
        roster: Arc<Roster>,
        tally: Arc<Tally>,
    ) -> Self {
        let rng = Rng::with_seed(seed);
        Storm {
            rng,
            weather,
            roster,
            tally,
        }
    }

    /// Blows until the load is over.
    pub(crate) async fn blow(mut self) {
        while !self.tally.is_over() {
            sleep(millis(&mut self.rng, CALM)).await;
            let fault = Fault::draw(&mut self.rng);
            self.strike(fault);
        }
    }

    fn strike(&self, fault: Fault) {
        let until = |length| Some(Instant::now() + length);
        match fault {
            Fault::Kill(pick) => {
                if self.roster.kill(pick) {
                    self.tally.kills.add();
                }
            }
            Fault::Refuse(length) => {
                self.tally.refusals.add();
                self.weather
                    .change(|spells| spells.refusing_until = until(length));
            }
            Fault::Hang(length) => {
                self.tally.hangs.add();
                self.weather
                    .change(|spells| spells.hanging_until = until(length));
            }
            Fault::Lull(length) => {
                self.tally.lulls.add();
                self.weather
                    .change(|spells| spells.calm_until = until(length));
            }
        }
    }
}

pub(crate) fn millis(rng: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}
