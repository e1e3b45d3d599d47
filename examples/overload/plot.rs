//! The figures as a picture: what is done at each load, and how waits go at one of them.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::figures::{Figures, Spread};
use crate::policy::Policy;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn Error>>;

const SIZE: (u32, u32) = (1000, 920);
const HEAD: u32 = 112;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(38, 44, 52);
const FAINT: RGBColor = RGBColor(105, 113, 124);
const GRID: RGBColor = RGBColor(226, 230, 235);
/// Over which time a quantile is taken.
const BIN: Duration = Duration::from_millis(500);

/// What to draw.
pub(crate) struct Plot<'a> {
    pub(crate) figures: &'a [Figures],
    /// The load of which to show how waits go.
    pub(crate) course_of: f64,
    /// With which options it was measured.
    pub(crate) options: &'a str,
}

impl Plot<'_> {
    /// Writes the picture as an SVG file.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        let (upper, lower) = body.split_vertically((SIZE.1 - HEAD) / 2);
        self.draw_head(&head)?;
        self.draw_goodput(&upper)?;
        self.draw_course(&lower)?;
        root.present()?;
        Ok(())
    }

    fn draw_head(&self, area: &Area<'_>) -> Outcome {
        let bold = (FONT, 25).into_font().style(FontStyle::Bold).color(&INK);
        area.draw(&Text::new("More work than can be done", (24, 16), bold))?;
        let faint = (FONT, 15).into_font().color(&FAINT);
        area.draw(&Text::new(self.options.to_owned(), (24, 52), faint))?;
        for (place, policy) in (0..).zip(Policy::ALL) {
            let x = 24 + 240 * place;
            let line = vec![(x, 90), (x + 26, 90)];
            area.draw(&PathElement::new(line, colour(policy).stroke_width(3)))?;
            let name = (FONT, 16).into_font().color(&INK);
            let text = policy.name().trim().to_owned();
            area.draw(&Text::new(text, (x + 34, 82), name))?;
        }
        Ok(())
    }

    fn draw_goodput(&self, area: &Area<'_>) -> Outcome {
        let most = self.figures.iter().map(|one| one.load);
        draw_heading(area, "Answers in time, as a share of how many there can be")?;
        let mut chart = ChartBuilder::on(area)
            .margin_left(10)
            .margin_right(28)
            .margin_top(38)
            .x_label_area_size(50)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most.fold(1.0, f64::max) * 1.02, 0.0..1.1)?;
        let labels = (FONT, 15).into_font().color(&FAINT);
        chart
            .configure_mesh()
            .x_labels(8)
            .y_labels(6)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(labels.clone())
            .x_label_formatter(&|load| format!("{load}x"))
            .y_label_formatter(&|part| format!("{:.0} %", part * 100.0))
            .x_desc("clients that come, as a multiple of those who can be served")
            .axis_desc_style(labels)
            .draw()?;
        for policy in Policy::ALL {
            let of_policy = self.figures.iter().filter(|one| one.policy == policy);
            let mut points: Vec<_> = of_policy.map(|one| (one.load, one.goodput)).collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            let colour = colour(policy);
            let marks = points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
            chart.draw_series(marks)?;
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        Ok(())
    }

    fn draw_course(&self, area: &Area<'_>) -> Outcome {
        let heading = format!(
            "Wait of those served at {}x, in milliseconds (99 of 100 waited less)",
            self.course_of
        );
        draw_heading(area, &heading)?;
        let shown: Vec<_> = self
            .figures
            .iter()
            .filter(|one| one.load == self.course_of)
            .map(|one| (one.policy, course(&one.served)))
            .collect();
        let end = shown.iter().flat_map(|(_, points)| points.last());
        let end = end.fold(1.0, |end: f64, (at, _)| end.max(*at));
        let mut chart = ChartBuilder::on(area)
            .margin_left(10)
            .margin_right(28)
            .margin_top(38)
            .x_label_area_size(50)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, (1.0..2000.0).log_scale())?;
        let labels = (FONT, 15).into_font().color(&FAINT);
        chart
            .configure_mesh()
            .x_labels(13)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(labels.clone())
            .x_label_formatter(&|at| format!("{at:.0} s"))
            .y_label_formatter(&|wait| format!("{wait:.0}"))
            .x_desc("time since the first client came, each point over half a second")
            .axis_desc_style(labels)
            .draw()?;
        for (policy, points) in shown {
            let style = colour(policy).stroke_width(2);
            chart.draw_series(LineSeries::new(points, style))?;
        }
        Ok(())
    }
}

/// The wait that 99 in 100 of those who were served in each half of a second did not exceed.
fn course(served: &[(Duration, Duration)]) -> Vec<(f64, f64)> {
    let bin = |at: &Duration| at.as_nanos() / BIN.as_nanos();
    let bins = served.chunk_by(|one, other| bin(&one.0) == bin(&other.0));
    bins.filter_map(|bin| {
        let middle = bin[0].0.as_secs_f64();
        let waits = Spread::of(bin.iter().map(|(_, wait)| *wait).collect());
        let wait = waits.quantile(0.99)?.as_secs_f64() * 1000.0;
        Some((middle, wait.max(1.0)))
    })
    .collect()
}

fn colour(policy: Policy) -> RGBColor {
    match policy {
        Policy::None => RGBColor(192, 41, 41),
        Policy::MaxWaiters => RGBColor(214, 130, 20),
        Policy::ControlledDelay => RGBColor(31, 111, 180),
        Policy::AdaptiveLifo => RGBColor(34, 132, 74),
    }
}

fn draw_heading(area: &Area<'_>, heading: &str) -> Outcome {
    let bold = (FONT, 17).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(heading.to_owned(), (24, 12), bold))?;
    Ok(())
}
