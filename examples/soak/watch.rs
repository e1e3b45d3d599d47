//! The look at everything, once a second.

use std::io;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use watertight::Status;

use crate::samples::{Sample, Samples, mib};
use crate::soak::Soak;
use crate::vitals::{self, Vitals};

const PERIOD: Duration = Duration::from_secs(1);

/// Without a terminal there is no bar, but this many lines.
const LINES: u32 = 20;

/// What was seen while there was load.
pub(crate) struct Seen {
    pub(crate) samples: Samples,
    pub(crate) loaded_for: Duration,
    /// Samples in which there were more children than there may be.
    pub(crate) crowded: u64,
    /// Samples in which the pool's own numbers did not add up.
    pub(crate) inconsistent: u64,
}

/// The watcher.
pub(crate) struct Watch<'a> {
    soak: &'a Soak,
    bar: ProgressBar,
    next_line: Duration,
    seen: Seen,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(soak: &'a Soak) -> Self {
        let duration = soak.options.duration;
        Watch {
            soak,
            bar: progress_bar(duration),
            next_line: Duration::ZERO,
            seen: Seen {
                samples: Samples::with_room_for(duration),
                loaded_for: Duration::ZERO,
                crowded: 0,
                inconsistent: 0,
            },
        }
    }

    /// Looks until the time is up, or until the user has seen enough.
    pub(crate) async fn look(mut self, interrupt: impl Future<Output = ()>) -> io::Result<Seen> {
        let mut interrupt = pin!(interrupt);
        let begun = Instant::now();
        let mut ticks = interval_at(begun + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let duration = self.soak.options.duration;
        let end = sleep(duration);
        let mut end = pin!(end);
        loop {
            tokio::select! {
                // In this order, so that the last second is seen.
                biased;
                _ = ticks.tick() => self.sample(begun.elapsed())?,
                () = &mut end => break,
                () = &mut interrupt => break,
            }
        }
        self.bar.finish_and_clear();
        self.seen.loaded_for = begun.elapsed();
        Ok(self.seen)
    }

    fn sample(&mut self, at: Duration) -> io::Result<()> {
        let tally = &self.soak.tally;
        tally.look_for_overdue();
        let status = self.soak.pool.status();
        if !adds_up(&status) {
            self.seen.inconsistent += 1;
        }
        if self.is_crowded()? {
            self.seen.crowded += 1;
        }
        let vitals = Vitals::take()?;
        let sample = Sample {
            departing: self.soak.registry.ledger.departing(),
            answered: tally.answered.get(),
            ..Sample::new(at, vitals, &status)
        };
        let line = line(self.seen.samples.push(sample), &status);
        self.show(at, line);
        Ok(())
    }

    /// Are there more children than places, those that have left their place and are about to
    /// end aside?
    ///
    /// Children come and go while they are being counted, so a count that is too high has to be
    /// repeated before it is believed.
    fn is_crowded(&self) -> io::Result<bool> {
        const TRIES: u32 = 5;
        let ledger = &self.soak.registry.ledger;
        let places = usize::from(self.soak.options.max_size);
        for _ in 0..TRIES {
            let departing = ledger.departing();
            let children = vitals::count_children()?;
            if children <= places + departing.max(ledger.departing()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn show(&mut self, at: Duration, line: String) {
        self.bar.set_position(at.as_secs());
        if !self.bar.is_hidden() {
            self.bar.set_message(line);
        } else if at >= self.next_line {
            eprintln!("{:>6.0} s  {line}", at.as_secs_f64());
            self.next_line = at + self.soak.options.duration / LINES;
        }
    }
}

fn adds_up(status: &Status) -> bool {
    let Status {
        max_size,
        size,
        idle,
        in_use,
        connecting,
        checking,
        recycling,
        closing,
        ..
    } = *status;
    size <= max_size && size == idle + in_use + connecting + checking + recycling + closing
}

fn line(sample: &Sample, status: &Status) -> String {
    let Vitals {
        rss,
        fds,
        threads,
        children,
    } = sample.vitals;
    let (mib, rate) = (mib(rss), sample.rate);
    format!(
        "{rate:.0}/s, {mib:.1} MiB, {fds} fds, {threads} threads, {children} children; {status}"
    )
}

fn progress_bar(duration: Duration) -> ProgressBar {
    let bar = ProgressBar::new(duration.as_secs());
    let template = "{elapsed_precise} {bar:40.cyan/dim} {percent:>3}%\n{wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
