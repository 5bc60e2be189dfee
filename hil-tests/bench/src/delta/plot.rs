//! Rate, queue and picture delay over time, as SVG.

use core::fmt::Write as _;

use rift_sim::Time;
use rift_sim::contest::{Case, Trace};

const WIDTH: f64 = 1200.0;
const PANEL: f64 = 220.0;
const MARGIN: f64 = 50.0;
/// Samples of queue and delay are the largest of so many ms.
const STEP_MS: u64 = 100;
const COLOURS: [&str; 6] = ["#c0392b", "#2471a3", "#239b56", "#7d3c98", "#b9770e", "#5d6d7e"];
/// Queues and delays beyond this are cut off, in ms.
const DELAY_MS_MAX: f64 = 150.0;

/// A picture of all contenders in one case.
pub(super) fn svg(case: &Case, traces: &[(&'static str, Trace)]) -> String {
    let height = 3.0 * (PANEL + MARGIN) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"20\">{}: {}</text>\n",
        case.name, case.about
    );
    for (index, (who, _)) in traces.iter().enumerate() {
        let x = WIDTH - 110.0 * (traces.len() - index) as f64;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"20\" fill=\"{}\">{who}</text>",
            COLOURS[index % COLOURS.len()]
        );
    }
    let seconds = case.seconds as f64;
    let capacity: Vec<(f64, f64)> = traces.first().map_or(Vec::new(), |(_, trace)| {
        let steps = (0..case.seconds * 1000).step_by(STEP_MS as usize);
        steps
            .map(|ms| (ms as f64 / 1e3, trace.rate.at(Time::from_millis(ms)).unwrap_or(0) as f64 / 1e6))
            .collect()
    });
    let most = capacity.iter().map(|point| point.1).fold(1.0, f64::max) * 1.25;
    let panels = [("rate, Mbit/s", most), ("queue, ms", DELAY_MS_MAX), ("picture delay, ms", DELAY_MS_MAX)];
    for (row, (title, top)) in panels.into_iter().enumerate() {
        let area = Area { top: MARGIN + row as f64 * (PANEL + MARGIN), seconds, most: top };
        area.frame(title, &mut out);
        if row == 0 {
            area.line(&capacity, "#000000", &mut out);
        }
        for (index, (_, trace)) in traces.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            match row {
                0 => {
                    for flow in &trace.flows {
                        let points: Vec<_> = flow
                            .grants
                            .iter()
                            .map(|(at, bps, _)| (at.as_secs_f64(), *bps as f64 / 1e6))
                            .collect();
                        area.line(&points, colour, &mut out);
                    }
                }
                1 => area.line(&largest(case, waits(trace)), colour, &mut out),
                _ => area.line(&largest(case, delays(trace)), colour, &mut out),
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

fn waits(trace: &Trace) -> impl Iterator<Item = (Time, f64)> + '_ {
    let ours = |from| trace.flows.iter().any(|flow| flow.node == from);
    let passages = trace.passages.iter().filter(move |passage| ours(passage.from));
    passages.map(|passage| (passage.at, f64::from(passage.waited_us) / 1e3))
}

fn delays(trace: &Trace) -> impl Iterator<Item = (Time, f64)> + '_ {
    trace.flows.iter().flat_map(|flow| {
        flow.pictures.iter().filter_map(move |picture| {
            let delay = (picture.complete? - picture.captured).saturating_sub(flow.one_way);
            Some((picture.captured, delay.as_secs_f64() * 1e3))
        })
    })
}

/// The largest sample of each step.
fn largest(case: &Case, samples: impl Iterator<Item = (Time, f64)>) -> Vec<(f64, f64)> {
    let mut steps = vec![0.0_f64; (case.seconds * 1000 / STEP_MS) as usize];
    for (at, value) in samples {
        if let Some(step) = steps.get_mut((at.as_nanos() / 1_000_000 / STEP_MS) as usize) {
            *step = step.max(value);
        }
    }
    steps.into_iter().enumerate().map(|(index, value)| (index as f64 * STEP_MS as f64 / 1e3, value)).collect()
}

struct Area {
    top: f64,
    seconds: f64,
    most: f64,
}

impl Area {
    fn frame(&self, title: &str, out: &mut String) {
        let (left, width) = (MARGIN, WIDTH - 2.0 * MARGIN);
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#888888\"/>\n\
             <text x=\"{left}\" y=\"{}\">{title}, up to {:.0}; {:.0} s</text>",
            self.top,
            self.top - 6.0,
            self.most,
            self.seconds
        );
    }

    fn line(&self, points: &[(f64, f64)], colour: &str, out: &mut String) {
        let _ = write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1\" points=\"");
        for (at, value) in points {
            let x = MARGIN + at / self.seconds * (WIDTH - 2.0 * MARGIN);
            let y = self.top + PANEL * (1.0 - (value / self.most).clamp(0.0, 1.0));
            let _ = write!(out, "{x:.1},{y:.1} ");
        }
        out.push_str("\"/>\n");
    }
}
