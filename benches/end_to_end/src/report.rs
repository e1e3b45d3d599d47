//! The tables: the median of all rounds, and in brackets the quartiles.

use std::fmt::Write;

use crate::measure::{Findings, ROUTES, Run};
use crate::serve::Subject;

/// What a column tells of a run.
type Figure = fn(&Run) -> f64;

/// Requests a second, in thousands; milliseconds.
const COLUMNS: [(&str, Figure); 5] = [
    ("1000 requests / s", |run| throughput(run) / 1e3),
    ("p50 ms", |run| run.seen.p50 as f64 / 1e3),
    ("p99 ms", |run| run.seen.p99 as f64 / 1e3),
    ("p99.9 ms", |run| run.seen.p999 as f64 / 1e3),
    ("max ms", |run| run.seen.max as f64 / 1e3),
];

fn throughput(run: &Run) -> f64 {
    run.seen.requests as f64 / run.seen.seconds
}

/// One table for each route and number of clients, in Markdown.
pub fn tables(findings: &Findings) -> String {
    let mut text = String::new();
    for route in ROUTES {
        let mut clients: Vec<u16> = findings.runs.iter().map(|run| run.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        for clients in clients {
            let runs = findings.runs.iter();
            let runs = runs.filter(|run| run.route == route && run.clients == clients);
            let runs: Vec<&Run> = runs.collect();
            let _ = writeln!(
                text,
                "`/{route}`, {clients} clients on {} connections:\n",
                findings.connections
            );
            text.push_str(&table(&runs));
            text.push('\n');
        }
    }
    text
}

fn table(runs: &[&Run]) -> String {
    let mut text = String::from("| pool |");
    for (title, _) in COLUMNS {
        let _ = write!(text, " {title} |");
    }
    let columns = COLUMNS.len() + 1;
    let _ = writeln!(
        text,
        " over the first line's |\n|---|{}",
        "---|".repeat(columns)
    );
    let mut pools: Vec<Subject> = runs.iter().map(|run| run.pool).collect();
    pools.sort_unstable();
    pools.dedup();
    for &pool in &pools {
        let _ = write!(text, "| {} |", title(pool));
        for (_, figure) in COLUMNS {
            let runs = runs.iter().filter(|run| run.pool == pool);
            let mut figures: Vec<f64> = runs.map(|run| figure(run)).collect();
            let _ = write!(text, " {} |", spread(&mut figures));
        }
        let _ = writeln!(text, " {} |", spread(&mut ratios(runs, pool, pools[0])));
    }
    text
}

fn title(pool: Subject) -> &'static str {
    match pool {
        Subject::Watertight => "watertight",
        Subject::Deadpool => "deadpool-postgres",
        Subject::Bb8 => "bb8-postgres",
        Subject::Bb8Unchecked => "bb8-postgres, no check",
    }
}

/// A pool's throughput in each round, over another's in the same: the machine's moods cancel out.
fn ratios(runs: &[&Run], pool: Subject, other: Subject) -> Vec<f64> {
    let of_pool = runs.iter().filter(|run| run.pool == pool);
    of_pool
        .filter_map(|own| {
            let same_round = |run: &&&Run| run.pool == other && run.round == own.round;
            let rival = runs.iter().find(same_round)?;
            Some(throughput(own) / throughput(rival))
        })
        .collect()
}

/// The median and, if there are several figures, the quartiles.
fn spread(figures: &mut [f64]) -> String {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share| digits(quantile(figures, share));
    match figures {
        [] => String::from("-"),
        [only] => digits(*only),
        _ => format!("{} ({}-{})", at(0.5), at(0.25), at(0.75)),
    }
}

/// Of sorted figures, of which there are some; between two of them in proportion.
fn quantile(figures: &[f64], share: f64) -> f64 {
    let place = (figures.len() - 1) as f64 * share;
    let (low, high) = (
        figures[place.floor() as usize],
        figures[place.ceil() as usize],
    );
    low + (high - low) * place.fract()
}

/// With three digits that count, or as many as there are before the point.
fn digits(figure: f64) -> String {
    let places = match figure {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::load::Seen;

    #[test]
    fn spread_has_the_median_between_the_quartiles() {
        assert_eq!(spread(&mut [40.0, 1.0, 2.5, 3.0, 2.0]), "2.50 (2.00-3.00)");
        assert_eq!(spread(&mut [400.0, 100.0]), "250 (175-325)");
        assert_eq!(spread(&mut [7.0]), "7.00");
    }

    #[test]
    fn ratios_are_within_a_round() {
        let run = |round, pool, requests| Run {
            round,
            pool,
            route: "read",
            clients: 1,
            seen: Seen {
                requests,
                seconds: 2.0,
                p50: 0,
                p99: 0,
                p999: 0,
                max: 0,
                failed: 0,
            },
        };
        let (one, other) = (Subject::Watertight, Subject::Bb8);
        let runs = [
            run(0, one, 100),
            run(0, other, 50),
            run(1, one, 320),
            run(1, other, 400),
        ];
        let runs: Vec<&Run> = runs.iter().collect();
        assert_eq!(ratios(&runs, other, one), [0.5, 1.25]);
        assert_eq!(ratios(&runs, one, one), [1.0, 1.0]);
    }
}
