//! Whether all is as it should be.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use watertight::Pool;
use watertight_services::Outcome;
use watertight_services::postgres::Postgres;
use watertight_services::servers::{PostgreSql, Server};

use crate::callers::Tally;
use crate::faults::History;
use crate::growth::{FIGURES, Growth, warm_up};
use crate::options::Options;
use crate::plot::Plot;
use crate::samples::Samples;
use crate::{CLIENT, DEADLINE, SIZE};

/// By how much a deadline may be missed: what a busy machine's scheduler may take.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Verdict {
    /// What does not hold.
    failures: Vec<String>,
    facts: Value,
    summary: String,
}

impl Verdict {
    /// Closes the pool and draws up the balance.
    pub(crate) async fn reach(
        options: &Options,
        pool: &Pool<Postgres>,
        server: &Arc<PostgreSql>,
        samples: &Samples,
        history: History,
        tally: Arc<Tally>,
    ) -> Self {
        let mut failures = Vec::new();
        let mut require = |holds: bool, what: String| {
            if !holds {
                failures.push(what);
            }
        };
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);

        // Left alone, every session at the server is one of the pool's.
        let settled = settle(|| pool.status().idle == pool.status().size).await;
        require(
            settled,
            format!("the pool does not come to rest: {}", pool.status()),
        );
        let at_rest = pool.status().size;
        let sessions = sessions_become(server, at_rest).await;
        require(
            sessions == at_rest,
            format!("{sessions} sessions, {at_rest} in the pool"),
        );
        pool.close().await;
        let left = sessions_become(server, 0).await;
        require(
            left == 0,
            format!("{left} sessions after the pool was closed"),
        );

        let statistics = pool.statistics();
        let (made, closed) = (statistics.connects, statistics.closes.total());
        require(
            made == closed,
            format!("{made} connections made, {closed} closed"),
        );
        let kept = count_rows(server, "kept").await;
        let (committed, perhaps) = (number(&tally.committed), number(&tally.perhaps_committed));
        require(
            (committed..=committed + perhaps).contains(&kept),
            format!("{kept} transactions were kept, {committed} committed, {perhaps} perhaps"),
        );
        let abandoned = count_rows(server, "abandoned").await;
        require(
            abandoned == 0,
            format!("{abandoned} abandoned transactions were kept"),
        );

        let wrong = number(&tally.wrong);
        let first = tally.first_wrong.lock().map(|first| first.clone());
        require(
            wrong == 0,
            format!("{wrong} wrong answers, the first: {first:?}"),
        );
        let refused = number(&tally.refused);
        require(
            refused == 0,
            format!("{refused} callers were refused before their deadline"),
        );
        let longest = Duration::from_micros(number(&tally.longest_acquire));
        require(
            longest < DEADLINE + SLACK,
            format!("an acquire took {longest:?}"),
        );
        let answers = number(&tally.answers);
        require(answers > 0, "no answers".to_owned());
        require(
            history.never == 0,
            format!("{} outages not got over", history.never),
        );
        let most = history.most_sessions;
        require(most <= 2 * SIZE, format!("{most} sessions at a time"));

        let mut growth = Vec::new();
        for figure in &FIGURES[..3] {
            let Some(of) = Growth::of(figure, samples.all(), warm_up(options.duration)) else {
                continue;
            };
            let (name, unit) = (figure.name, figure.unit);
            let text = format!("{name}: {:.1}{unit}, then {:.1}{unit}", of.before, of.after);
            require(!of.is_leak(), format!("grows: {text}"));
            growth.push(text);
        }

        let mut recoveries = history.recoveries.clone();
        recoveries.sort();
        let at = |fraction: f64| {
            let last = recoveries.len().saturating_sub(1);
            let index = (last as f64 * fraction).round() as usize;
            recoveries.get(index).map_or(0.0, Duration::as_secs_f64)
        };
        let summary = format!(
            "{answers} answers; {} kills, {} silences, {} terminations; \
             {made} sessions made and closed; recovery in {:.0} ms (median), {:.0} ms (longest)",
            history.kills,
            history.silences,
            history.terminations,
            1000.0 * at(0.5),
            1000.0 * at(1.0),
        );
        let facts = json!({
            "duration_seconds": options.duration.as_secs(),
            "tasks": options.tasks,
            "threads": options.threads,
            "seed": options.seed,
            "max_size": SIZE,
            "answers": answers,
            "wrong_answers": wrong,
            "requests_failed": number(&tally.failed),
            "requests_cancelled": number(&tally.cancelled),
            "transactions": {
                "committed": committed,
                "perhaps_committed": perhaps,
                "found_kept": kept,
                "abandoned": number(&tally.abandoned),
                "abandoned_found_kept": abandoned,
            },
            "acquires": statistics.acquires,
            "acquires_timed_out": number(&tally.timed_out),
            "acquires_refused": refused,
            "longest_acquire_seconds": longest.as_secs_f64(),
            "deadline_seconds": DEADLINE.as_secs_f64(),
            "faults": {
                "kills": history.kills,
                "silences": history.silences,
                "terminations": history.terminations,
                "resets": history.resets,
                "resizes": history.resizes,
                "pauses": history.pauses,
                "server_down_seconds": history.down.as_secs_f64(),
            },
            "recovery_seconds": { "median": at(0.5), "p90": at(0.9), "longest": at(1.0) },
            "connections": {
                "made": made,
                "closed": closed,
                "attempts_failed": statistics.failed_connects,
                "closed_broken": statistics.closes.broken,
                "closed_check_failed": statistics.closes.check_failed,
                "closed_recycle_failed": statistics.closes.recycle_failed,
            },
            "sessions_at_server": { "most": most, "at_rest": sessions, "after_close": left },
            "growth": growth,
            "failures": &failures,
        });
        Verdict {
            failures,
            facts,
            summary,
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// Prints it, and writes it down with the picture.
    pub(crate) fn publish(&self, options: &Options, samples: &Samples) -> Outcome {
        let text = serde_json::to_string_pretty(&self.facts)?;
        println!("{text}");
        fs::write(options.out.join("soak.json"), text)?;
        samples.write_csv(&options.out.join("samples.csv"))?;
        let duration = humantime::format_duration(options.duration);
        let verdict = match self.failures.first() {
            None => "watertight: nothing lost, late or wrong, no growth".to_owned(),
            Some(first) => format!("NOT WATERTIGHT: {first}"),
        };
        println!("{verdict}");
        let plot = Plot {
            title: &format!("{duration} of faults between a pool and its PostgreSQL"),
            verdict: &verdict,
            is_tight: self.holds(),
            facts: &self.summary,
            samples: samples.all(),
            warm_up: warm_up(options.duration),
        };
        let drawn = plot.write(&options.out.join("soak.svg"));
        drawn.map_err(|error| error.to_string().into())
    }
}

/// Waits for something, for ten seconds at most.
async fn settle(mut look: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while !look() {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Waits until the server has so many sessions; returns how many it has in the end.
async fn sessions_become(server: &Arc<PostgreSql>, wanted: usize) -> usize {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let server = Arc::clone(server);
        let sessions = spawn_blocking(move || server.sessions(CLIENT)).await;
        let sessions = sessions.expect("the server is there");
        if sessions == wanted || Instant::now() > end {
            return sessions;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn count_rows(server: &Arc<PostgreSql>, table: &'static str) -> u64 {
    let server = Arc::clone(server);
    let rows = spawn_blocking(move || server.sql(&format!("select count(*) from {table}"))).await;
    let rows = rows.expect("the server is there");
    rows[0].parse().expect("it is a number")
}
