//! Pictures: costs with their spread, waits on a scale of powers of ten, costs in a crowd.

use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use watertight_peers::measure::QUANTILES;
use watertight_peers::scenarios::{Contender, Scenario};

use crate::runs::{Results, Runs};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Picture = fn(&Results, &Area<'_>) -> Drawn;

pub fn draw(results: &Results, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let pictures: [(&str, Picture); 3] = [
        ("peers-cost.svg", costs),
        ("peers-waits.svg", waits),
        ("peers-crowd.svg", crowds),
    ];
    for (name, picture) in pictures {
        let path = folder.join(name);
        let area = SVGBackend::new(&path, (860, 460)).into_drawing_area();
        area.fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| picture(results, &area))
            .and_then(|()| Ok(area.present()?))
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// A colour for each pool, the same in all pictures.
fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Watertight => RGBColor(0, 92, 175),
        Contender::Deadpool => RGBColor(203, 91, 0),
        Contender::Bb8 => RGBColor(46, 139, 87),
        Contender::FastPool => RGBColor(160, 120, 0),
        Contender::Mobc => RGBColor(145, 70, 160),
        Contender::Qp => RGBColor(110, 110, 110),
        Contender::Sqlx => RGBColor(190, 30, 70),
        Contender::R2d2 => RGBColor(0, 140, 150),
        Contender::Limit => RGBColor(60, 60, 60),
    }
}

/// Bars from left to right, a whisker from the quickest round to the slowest.
fn costs(results: &Results, area: &Area<'_>) -> Drawn {
    let groups = [
        (Scenario::Uncontended, "one task"),
        (Scenario::TimeOuts, "with time-outs"),
        (Scenario::Checks, "with a check"),
        (Scenario::Ample, "16 tasks on 16"),
        (Scenario::Contended, "64 tasks on 8"),
        (Scenario::Thread, "one thread"),
        (Scenario::Threads, "8 threads on 4"),
    ];
    let bars: Vec<(usize, &Runs)> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, (scenario, _))| {
            let runs = results.runs.iter().filter(|it| it.scenario == *scenario);
            // A thousand times as much would hide the others.
            let shown =
                runs.filter(|it| !matches!(it.contender, Contender::Sqlx | Contender::Mobc));
            shown.map(move |run| (group, run))
        })
        .collect();
    let width = bars.len() + groups.len();
    // A round in which the machine did something else shall not make all others small.
    let tops = bars.iter().filter_map(|(_, run)| {
        let spread = run.spread(|it| it.cycle_ns)?;
        Some(spread.most.min(spread.median * 1.4))
    });
    let top = tops.fold(100.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Acquire and release: ns, median of the rounds, least and most",
            ("sans-serif", 20),
        )
        .margin(12)
        .margin_right(36)
        .x_label_area_size(34)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..width as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|it| format!("{it:.0}"))
        .y_desc("ns")
        .draw()?;
    let mut named = Vec::new();
    let mut centres = vec![(0.0, 0.0); groups.len()];
    for (index, (group, run)) in bars.iter().enumerate() {
        let Some(spread) = run.spread(|it| it.cycle_ns) else {
            continue;
        };
        let left = (index + group) as f64 + 0.5;
        let style = colour(run.contender).filled();
        let bar = Rectangle::new([(left, 0.0), (left + 0.8, spread.median)], style);
        let series = chart.draw_series([bar])?;
        if !named.contains(&run.contender) {
            named.push(run.contender);
            series
                .label(run.contender.name())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], style));
        }
        let whisker = [
            (left + 0.4, spread.least),
            (left + 0.4, spread.most.min(top)),
        ];
        chart.draw_series([PathElement::new(whisker, BLACK)])?;
        centres[*group].0 += left + 0.4;
        centres[*group].1 += 1.0;
    }
    for ((sum, count), (_, name)) in centres.into_iter().zip(groups) {
        if count > 0.0 {
            let (x, y) = chart.backend_coord(&(sum / count, 0.0));
            let place = (x - 3 * name.len() as i32, y + 10);
            area.draw(&Text::new(name, place, ("sans-serif", 13)))?;
        }
    }
    legend(&mut chart)
}

/// How long the slowest of so many callers wait.
fn waits(results: &Results, area: &Area<'_>) -> Drawn {
    let of = |run: &&Runs| run.scenario == Scenario::Contended;
    let mut chart = ChartBuilder::on(area)
        .caption("64 tasks on 8 connections: waits, ms", ("sans-serif", 20))
        .margin(12)
        .margin_right(36)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d((2.0..100_000.0).log_scale(), (1e-4..200.0).log_scale())?;
    chart
        .configure_mesh()
        .x_label_formatter(&|it| format!("{it:.0}"))
        .y_label_formatter(&|it| format!("{it}"))
        .x_desc("one caller in so many waits longer")
        .y_desc("ms")
        .draw()?;
    for run in results.runs.iter().filter(of) {
        let points = QUANTILES
            .iter()
            .enumerate()
            .filter_map(|(index, quantile)| {
                let wait = run
                    .spread(|it| Some(it.waits.as_ref()?.curve[index]))?
                    .median;
                Some((1.0 / (1.0 - quantile), wait.max(1e-4)))
            });
        let style = colour(run.contender).stroke_width(2);
        let series = chart.draw_series(LineSeries::new(points, style))?;
        series
            .label(run.contender.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
    }
    legend(&mut chart)
}

/// What a hand-off costs in a crowd.
fn crowds(results: &Results, area: &Area<'_>) -> Drawn {
    let crowds = [
        (Scenario::Crowd100, 1e2),
        (Scenario::Crowd1000, 1e3),
        (Scenario::Crowd10000, 1e4),
        (Scenario::Crowd100000, 1e5),
    ];
    let mut chart = ChartBuilder::on(area)
        .caption(
            "A crowd that waits for 8 connections: ns for each hand-off",
            ("sans-serif", 20),
        )
        .margin(12)
        .margin_right(36)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d((80.0..120_000.0).log_scale(), (50.0..100_000.0).log_scale())?;
    chart
        .configure_mesh()
        .x_label_formatter(&|it| format!("{it:.0}"))
        .y_label_formatter(&|it| format!("{it:.0}"))
        .x_desc("how many wait")
        .y_desc("ns")
        .draw()?;
    let mut contenders: Vec<Contender> = results.runs.iter().map(|it| it.contender).collect();
    contenders.sort();
    contenders.dedup();
    for contender in contenders {
        let points = crowds.iter().filter_map(|(scenario, size)| {
            let cost = results.median(*scenario, contender, |it| it.cycle_ns)?;
            Some((*size, cost))
        });
        let points: Vec<_> = points.collect();
        if points.is_empty() {
            continue;
        }
        let style = colour(contender).stroke_width(2);
        let series = chart.draw_series(LineSeries::new(points, style))?;
        series
            .label(contender.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
    }
    legend(&mut chart)
}

fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Drawn
where
    X: plotters::coord::ranged1d::Ranged,
    Y: plotters::coord::ranged1d::Ranged,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}
