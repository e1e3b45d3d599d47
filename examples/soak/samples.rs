//! What was seen, second by second.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use watertight::Status;

use crate::vitals::Vitals;

/// One look at everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) vitals: Vitals,
    /// The pool, without what is the same in all samples.
    pub(crate) in_use: usize,
    pub(crate) idle: usize,
    pub(crate) connecting: usize,
    pub(crate) other: usize,
    pub(crate) waiting: usize,
    /// Processes without a place that are not yet reaped.
    pub(crate) departing: usize,
    /// Requests answered since the load began.
    pub(crate) answered: u64,
    /// Requests answered per second since the last sample.
    pub(crate) rate: f64,
}

impl Sample {
    pub(crate) fn new(at: Duration, vitals: Vitals, status: &Status) -> Self {
        Sample {
            at,
            vitals,
            in_use: status.in_use,
            idle: status.idle,
            connecting: status.connecting,
            other: status.checking + status.recycling + status.closing,
            waiting: status.waiting,
            departing: 0,
            answered: 0,
            rate: 0.0,
        }
    }

    /// How many children there may be: one for each place that is taken, and those that have
    /// left theirs.
    pub(crate) fn places(&self) -> usize {
        self.in_use + self.idle + self.connecting + self.other + self.departing
    }
}

/// All samples, in the order of time.
#[derive(Debug)]
pub(crate) struct Samples {
    samples: Vec<Sample>,
}

impl Samples {
    /// Makes room for one sample a second.
    ///
    /// The room is written to before it is needed: memory that the samples take up as time goes
    /// by would look like a leak.
    pub(crate) fn with_room_for(duration: Duration) -> Self {
        const MOST: u64 = 7 * 24 * 3600;
        let blank = Sample {
            at: Duration::MAX,
            vitals: Vitals::default(),
            in_use: 0,
            idle: 0,
            connecting: 0,
            other: 0,
            waiting: 0,
            departing: 0,
            answered: 0,
            rate: 0.0,
        };
        let room = usize::try_from(duration.as_secs().min(MOST)).unwrap_or(0) + 16;
        let mut samples = vec![blank; room];
        samples.clear();
        Samples { samples }
    }

    /// Adds a sample, and works out its rate.
    pub(crate) fn push(&mut self, mut sample: Sample) -> &Sample {
        let (before, answered) = self
            .samples
            .last()
            .map_or((Duration::ZERO, 0), |last| (last.at, last.answered));
        let seconds = sample.at.saturating_sub(before).as_secs_f64();
        if seconds > 0.0 {
            sample.rate = count(sample.answered - answered) / seconds;
        }
        self.samples.push(sample);
        &self.samples[self.samples.len() - 1]
    }

    pub(crate) fn all(&self) -> &[Sample] {
        &self.samples
    }

    /// Writes them as comma-separated values.
    pub(crate) fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(
            file,
            "seconds,rss_bytes,fds,threads,children,\
             in_use,idle,connecting,other,waiting,departing,answered,requests_per_second"
        )?;
        for sample in &self.samples {
            let Sample {
                at,
                vitals,
                in_use,
                idle,
                connecting,
                other,
                waiting,
                departing,
                answered,
                rate,
            } = sample;
            let Vitals {
                rss,
                fds,
                threads,
                children,
            } = vitals;
            writeln!(
                file,
                "{:.3},{rss},{fds},{threads},{children},\
                 {in_use},{idle},{connecting},{other},{waiting},{departing},{answered},{rate:.1}",
                at.as_secs_f64()
            )?;
        }
        file.flush()
    }
}

/// A count as a number to calculate with; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    count(bytes) / (1024.0 * 1024.0)
}
