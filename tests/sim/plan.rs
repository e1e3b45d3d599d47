//! What is to happen in a run, drawn beforehand, so that it can be read and replayed.

use std::fmt;
use std::time::Duration;

use watertight::Faults;

use crate::change::Change;
use crate::draw::Draw;
use crate::settings::Settings;
use crate::support::{Step, err, hang, ok, panics, permanent};

/// Milliseconds.
pub(crate) type Ms = u64;

pub(crate) const fn ms(milliseconds: Ms) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) mischief: Mischief,
    pub(crate) moods: Moods,
    /// Decides who runs next, and what the manager does within its mood.
    pub(crate) chance: u64,
    /// The pool ends with the last user, not with the run.
    pub(crate) lone: bool,
    pub(crate) users: Vec<Vec<Op>>,
}

/// What the runtime does to the pool, and to its users.
#[derive(Clone, Debug)]
pub(crate) struct Mischief {
    /// To the pool's tasks.
    pub(crate) faults: Faults,
    /// The longest that one of the pool's tasks is late.
    pub(crate) late: Ms,
    /// Pool's tasks may be lost.
    pub(crate) loses: bool,
    /// Out of a thousand polls of a user, how many find him gone instead.
    pub(crate) aborts: usize,
    /// Out of a thousand polls of a user, how many are followed by another that nobody asked for.
    pub(crate) vain_polls: usize,
    /// Out of a thousand steps, how many are followed by a while in which nobody gets to run.
    pub(crate) stalls: usize,
}

impl Mischief {
    /// How late something may be seen to, stalls included.
    pub(crate) fn lateness(&self) -> Duration {
        ms(self.late) + ms(if self.stalls > 0 { 30 } else { 0 })
    }

    fn draw(draw: &mut Draw<'_>) -> Self {
        let late = draw.one_of(&[0, 0, 0, 3, 30]);
        let loses = draw.percent(30);
        let mut faults = Faults::none().poll_in_vain(draw.one_of(&[0.0, 0.1]));
        if late > 0 {
            faults = faults.delay_wakes(draw.one_of(&[0.1, 0.5]), ms(late));
        }
        if loses {
            faults = faults
                .drop_unpolled(draw.one_of(&[0.0, 0.05, 0.5]))
                .drop_midway(draw.one_of(&[0.02, 0.2]));
        }
        Mischief {
            faults,
            late,
            loses,
            aborts: draw.one_of(&[0, 0, 10, 100]),
            vain_polls: draw.one_of(&[0, 100]),
            stalls: draw.one_of(&[0, 0, 10]),
        }
    }
}

/// How the calls of the manager's tend to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// At once, and well.
    Prompt,
    /// Well, in its time.
    Steady,
    /// Anything may happen.
    Moody,
    /// Nothing goes well.
    Down,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Moods {
    pub(crate) connect: Mood,
    pub(crate) check: Mood,
    pub(crate) inspect: Mood,
    pub(crate) recycle: Mood,
    pub(crate) close: Mood,
}

impl Moods {
    fn draw(draw: &mut Draw<'_>) -> Self {
        let mut mood = || draw.one_of(&[Mood::Prompt, Mood::Steady, Mood::Steady, Mood::Moody]);
        Moods {
            connect: mood(),
            check: mood(),
            inspect: mood(),
            recycle: mood(),
            close: mood(),
        }
    }
}

impl Mood {
    /// How one call goes. One that hangs is left to its limit, if there is one.
    pub(crate) fn step(self, settings: &Settings, rng: &mut fastrand::Rng) -> Step {
        let delay = ms(rng.u64(..20));
        let hang = || match settings.limit {
            Some(_) => hang(),
            None => err().after(settings.longest_call()),
        };
        match (self, rng.u8(..20)) {
            (Mood::Prompt, _) => ok(),
            (Mood::Steady, 0) => err(),
            (Mood::Steady, _) => ok().after(delay),
            (Mood::Moody, 0..=8) => ok().after(delay),
            (Mood::Moody | Mood::Down, 9..=13) => err().after(delay),
            (Mood::Moody, 14) => permanent(),
            (Mood::Moody, 15..=17) => panics().after(delay),
            (Mood::Down, 14..=16) => hang(),
            (Mood::Down, _) => err(),
            (Mood::Moody, _) => hang(),
        }
    }
}

/// What a user does next.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Acquire {
        /// `None` for the pool's default.
        patience: Option<Ms>,
        cancel: Option<Cancel>,
        hold: Ms,
        end: End,
    },
    /// Some are taken together, and come back one after the other.
    Several {
        gap: Ms,
    },
    TryAcquire {
        hold: Ms,
        end: End,
    },
    /// The future of an acquire is polled once, then neither polled nor dropped.
    ForgetWaiting,
    /// Looks at what is idle, and takes the next.
    PickIdle,
    /// The pool's, with all its tasks. After a while there is another.
    RuntimeDies(Ms),
    /// The pool's runtime takes no tasks for a while, but keeps those that it has.
    RuntimeRefuses(Ms),
    Sleep(Ms),
    Resize(usize),
    Retain(Keep),
    Adopt,
    Fill(Option<Cancel>),
    ServerGoes(Mood),
    Close(Option<Cancel>),
    CloseWithin(Ms),
    /// Nothing is lent until nothing is in use, or the user loses patience; and then for a while, or
    /// for good.
    Pause {
        cancel: Option<Cancel>,
        then: Option<Ms>,
    },
    Resume,
    /// At once, or spread over so long.
    Reset(Option<Ms>),
    WaitReset(Option<Cancel>),
    Set(Change),
}

/// When a user loses interest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cancel {
    After(Ms),
    AfterPolls(usize),
}

/// What becomes of a loan.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Drop,
    Dirty,
    Broken,
    /// It comes back clean, and its destructor will panic.
    Rigged,
    Discard,
    Detach,
    Release {
        dirty: bool,
        cancel: Option<Cancel>,
    },
    Panic,
    /// It never comes back, as far as the pool can tell.
    Leak,
    /// It is declared to be the last loan, and then used for a while.
    Retire(Ms),
}

/// What a `retain` thinks of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    All,
    None,
    Even,
    Panic,
}

impl Plan {
    pub(crate) fn draw(draw: &mut Draw<'_>) -> Self {
        let mut settings = Settings::draw(draw);
        let mischief = Mischief::draw(draw);
        let moods = Moods::draw(draw);
        let chance = draw.number();
        let lone = draw.percent(20);
        let users = draw.within(1..=6);
        let mut users: Vec<Vec<Op>> = (0..users)
            .map(|_| {
                let ops = draw.within(1..=6);
                (0..ops).map(|_| Op::draw(draw, mischief.loses)).collect()
            })
            .collect();
        settings.draw_more(draw, mischief.loses);
        for _ in 0..draw.one_of(&[0, 0, 1, 2, 4]) {
            let user = draw.below(users.len());
            let place = draw.below(users[user].len() + 1);
            let op = Op::draw_more(draw);
            if matches!(op, Op::Reset(_)) && draw.percent(50) {
                users[user].insert(place, Op::WaitReset(Cancel::draw(draw, 30)));
            }
            users[user].insert(place, op);
        }
        Plan {
            settings,
            mischief,
            moods,
            chance,
            lone,
            users,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:?}\n{:?}\n{:?}",
            self.settings, self.mischief, self.moods
        )?;
        if self.lone {
            writeln!(f, "The pool ends with its last user.")?;
        }
        for (name, ops) in self.users.iter().enumerate() {
            writeln!(f, "user {name}: {ops:?}")?;
        }
        Ok(())
    }
}

impl Op {
    fn draw(draw: &mut Draw<'_>, tasks_are_lost: bool) -> Self {
        match draw.below(40) {
            0..=19 => Op::Acquire {
                patience: draw.one_of(&[None, None, Some(0), Some(1), Some(10), Some(80)]),
                cancel: Cancel::draw(draw, 20),
                hold: draw.one_of(&[0, 1, 5, 40]),
                end: End::draw(draw),
            },
            20..=21 => Op::Several {
                gap: draw.one_of(&[0, 8, 15]),
            },
            22..=24 => Op::TryAcquire {
                hold: draw.one_of(&[0, 1, 5, 40]),
                end: End::draw(draw),
            },
            // A waiter that is never polled cannot see to what a lost task left undone.
            25 if !tasks_are_lost => Op::ForgetWaiting,
            25 if draw.percent(50) => Op::RuntimeDies(draw.one_of(&[0, 3, 40, 500])),
            25 => Op::RuntimeRefuses(draw.one_of(&[0, 3, 40, 500])),
            26 => Op::PickIdle,
            27..=28 => Op::Sleep(draw.one_of(&[1, 4, 25, 300])),
            29..=30 => Op::Resize(draw.within(0..=5)),
            31 => Op::Retain(draw.one_of(&[Keep::All, Keep::None, Keep::Even, Keep::Panic])),
            32..=33 => Op::Adopt,
            34..=35 => Op::Fill(Cancel::draw(draw, 50)),
            36..=38 => Op::ServerGoes(draw.one_of(&[Mood::Down, Mood::Prompt, Mood::Moody])),
            _ if draw.percent(60) => Op::Sleep(draw.one_of(&[2, 60])),
            _ if draw.percent(50) => Op::CloseWithin(draw.one_of(&[0, 10, 100])),
            _ => Op::Close(Cancel::draw(draw, 50)),
        }
    }
}

impl Op {
    /// What was thought of last: to be put in between, so that the rest is what it has always been.
    fn draw_more(draw: &mut Draw<'_>) -> Self {
        match draw.below(12) {
            0..=2 => Op::Pause {
                cancel: Cancel::draw(draw, 60),
                then: draw.one_of(&[Some(0), Some(5), Some(60), None]),
            },
            3 => Op::Resume,
            4..=6 => Op::Reset(draw.one_of(&[None, None, Some(10), Some(60), Some(300)])),
            7 => Op::WaitReset(Cancel::draw(draw, 30)),
            8 => Op::Acquire {
                patience: Some(80),
                cancel: None,
                hold: 0,
                end: End::Retire(draw.one_of(&[0, 5])),
            },
            _ => Op::Set(Change::draw(draw)),
        }
    }
}

impl Cancel {
    fn draw(draw: &mut Draw<'_>, percent: usize) -> Option<Self> {
        if !draw.percent(percent) {
            return None;
        }
        Some(match draw.percent(50) {
            true => Cancel::After(draw.one_of(&[0, 1, 7, 30])),
            false => Cancel::AfterPolls(draw.within(1..=4)),
        })
    }
}

impl End {
    fn draw(draw: &mut Draw<'_>) -> Self {
        match draw.below(24) {
            0..=6 => End::Drop,
            7..=8 => End::Rigged,
            9..=12 => End::Dirty,
            13..=14 => End::Broken,
            15..=16 => End::Discard,
            17 => End::Detach,
            18..=20 => End::Release {
                dirty: draw.percent(60),
                cancel: Cancel::draw(draw, 40),
            },
            21..=22 => End::Panic,
            _ => End::Leak,
        }
    }
}
