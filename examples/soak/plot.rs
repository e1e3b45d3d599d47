//! The samples as a picture: four panels over one time axis.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::samples::{Sample, count, mib};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn Error>>;

const SIZE: (u32, u32) = (1000, 980);
const HEAD: u32 = 104;
/// The lowest panel is higher by its axis.
const AXIS: u32 = 50;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(38, 44, 52);
const FAINT: RGBColor = RGBColor(105, 113, 124);
const GRID: RGBColor = RGBColor(226, 230, 235);
const WARM_UP: RGBColor = RGBColor(243, 245, 248);
const BLUE: RGBColor = RGBColor(31, 111, 180);
const ORANGE: RGBColor = RGBColor(214, 106, 20);
const GREEN: RGBColor = RGBColor(34, 132, 74);
const RED: RGBColor = RGBColor(192, 41, 41);
const PURPLE: RGBColor = RGBColor(112, 79, 168);

/// A line in a panel.
struct Series {
    name: &'static str,
    colour: RGBColor,
    of: fn(&Sample) -> f64,
}

/// What is drawn under one heading.
struct Panel {
    heading: &'static str,
    series: Vec<Series>,
}

/// What to draw.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) verdict: &'a str,
    pub(crate) is_tight: bool,
    /// What it is based on.
    pub(crate) facts: &'a str,
    pub(crate) samples: &'a [Sample],
    pub(crate) warm_up: Duration,
}

impl Plot<'_> {
    /// Writes the picture as an SVG file.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        self.draw_head(&head)?;
        let panels = panels();
        let each = (SIZE.1 - HEAD - AXIS) / panels.len() as u32;
        let mut rest = body;
        for (index, panel) in panels.iter().enumerate() {
            let is_last = index + 1 == panels.len();
            let (area, below) = match is_last {
                false => rest.split_vertically(each),
                true => (rest.clone(), rest.clone()),
            };
            self.draw_panel(&area, panel, is_last)?;
            rest = below;
        }
        root.present()?;
        Ok(())
    }

    fn draw_head(&self, area: &Area<'_>) -> Outcome {
        let title = (FONT, 25).into_font().style(FontStyle::Bold).color(&INK);
        area.draw(&Text::new(self.title.to_owned(), (24, 16), title))?;
        let colour = if self.is_tight { GREEN } else { RED };
        let verdict = (FONT, 18).into_font().color(&colour);
        area.draw(&Text::new(self.verdict.to_owned(), (24, 52), verdict))?;
        let facts = (FONT, 15).into_font().color(&FAINT);
        area.draw(&Text::new(self.facts.to_owned(), (24, 79), facts))?;
        Ok(())
    }

    fn draw_panel(&self, area: &Area<'_>, panel: &Panel, with_axis: bool) -> Outcome {
        let last = self.samples.last().map_or(Duration::ZERO, |last| last.at);
        let unit = Unit::for_length(last.as_secs_f64());
        let end = unit.of(last.max(Duration::from_secs(1)));
        let top = self.top_of(panel);
        let mut chart = ChartBuilder::on(area)
            .margin_left(10)
            .margin_right(28)
            .margin_top(34)
            .margin_bottom(6)
            .x_label_area_size(if with_axis { AXIS } else { 0 })
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        let warm_up = unit.of(self.warm_up).min(end);
        chart.draw_series([Rectangle::new(
            [(0.0, 0.0), (warm_up, top)],
            WARM_UP.filled(),
        )])?;
        let labels = (FONT, 15).into_font().color(&FAINT);
        let time = |time: &f64| format!("{} {}", number(*time), unit.name);
        let mut mesh = chart.configure_mesh();
        mesh.x_labels(11)
            .y_labels(5)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(labels.clone())
            .x_label_formatter(&time)
            .y_label_formatter(&|value| number(*value));
        if with_axis {
            mesh.x_desc("time since the start (shaded: warm-up, not judged)")
                .axis_desc_style(labels);
        }
        mesh.draw()?;
        // A long run has more samples than there are pixels to tell them apart.
        let stroke = if self.samples.len() < 240 { 2 } else { 1 };
        for series in &panel.series {
            let points = self.samples.iter().map(|s| (unit.of(s.at), (series.of)(s)));
            chart.draw_series(LineSeries::new(points, series.colour.stroke_width(stroke)))?;
        }
        draw_heading(area, panel)
    }

    /// A little above the highest point. The axis begins at zero, or noise would look like growth.
    fn top_of(&self, panel: &Panel) -> f64 {
        let values = panel
            .series
            .iter()
            .flat_map(|series| self.samples.iter().map(series.of));
        values.fold(1.0, f64::max) * 1.15
    }
}

/// The heading, and at its right what the lines are if there are several.
fn draw_heading(area: &Area<'_>, panel: &Panel) -> Outcome {
    let Range { end: right, .. } = area.get_pixel_range().0;
    let Range { start: left, .. } = area.get_pixel_range().0;
    let bold = (FONT, 17).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(panel.heading.to_owned(), (24, 10), bold))?;
    if panel.series.len() < 2 {
        return Ok(());
    }
    let mut x = right - left - 28;
    for series in panel.series.iter().rev() {
        let style = (FONT, 16)
            .into_font()
            .color(&series.colour)
            .pos(Pos::new(HPos::Right, VPos::Top));
        area.draw(&Text::new(format!("— {}", series.name), (x, 11), style))?;
        x -= 110;
    }
    Ok(())
}

fn panels() -> [Panel; 4] {
    let series = |name, colour, of| Series { name, colour, of };
    [
        Panel {
            heading: "Resident memory (MiB)",
            series: vec![series("memory", BLUE, |sample| mib(sample.vitals.rss))],
        },
        Panel {
            heading: "Open file descriptors",
            series: vec![series("descriptors", PURPLE, |sample| {
                count(sample.vitals.fds as u64)
            })],
        },
        Panel {
            heading: "Threads and child processes",
            series: vec![
                series("children", ORANGE, |sample| {
                    count(sample.vitals.children as u64)
                }),
                series("threads", GREEN, |sample| {
                    count(sample.vitals.threads as u64)
                }),
            ],
        },
        Panel {
            heading: "Requests answered per second",
            series: vec![series("requests", BLUE, |sample| sample.rate)],
        },
    ]
}

/// What the time axis counts in, so that its marks are round numbers.
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Unit {
    fn for_length(seconds: f64) -> Unit {
        let (name, seconds) = match seconds {
            seconds if seconds <= 180.0 => ("s", 1.0),
            seconds if seconds <= 10_800.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        Unit { name, seconds }
    }

    fn of(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.seconds
    }
}

/// Without a fraction where there is none.
fn number(value: f64) -> String {
    match value.fract().abs() < 1e-9 {
        true => format!("{value:.0}"),
        false => format!("{value:.1}"),
    }
}
