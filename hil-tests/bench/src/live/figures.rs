//! What the runs are held to, and pictures of them.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use serde_json::json;

use super::{DOWNLOAD_AT, DOWNLOAD_FOR, DROP_AT, RAISE_AT, Run};
use crate::core::measure::quantile;
use crate::report::{Row, rounded};

/// What the rows about pacing say.
const PACING: &str = "from when a paced batch was due until the driver had given it to the socket, the system's wake-up \
    and sealing included; no spinning";
/// A queue below this is none that anybody sees, in ms.
const QUEUE_MS: f64 = 30.0;
/// The rate to come back to, in bit/s.
const BACK_BPS: f64 = 25e6;
/// Rates are taken over this, in s.
const WINDOW: f64 = 0.2;
/// From here on pictures flow, in s.
const SETTLED: f64 = 1.0;

impl Run {
    /// When the queue was last so long, between these, after the first of them; 0 = never.
    fn queue_until(&self, from: f64, to: f64) -> f64 {
        let mut long = self
            .samples
            .iter()
            .filter(|sample| (from..to).contains(&sample.at) && sample.queue_ms >= QUEUE_MS);
        long.next_back().map_or(0.0, |sample| sample.at - from)
    }

    /// The longest time without a picture between these, in ms; endless without any.
    fn longest_pause(&self, from: f64, to: f64) -> Option<f64> {
        let times = || self.pictures.iter().map(|picture| picture.0).filter(|at| (from..to).contains(at));
        let pauses = times().zip(times().skip(1)).map(|(one, other)| (other - one) * 1e3);
        pauses.chain([(to - times().next_back()?) * 1e3]).reduce(f64::max)
    }

    /// The rate of datagrams through the link by time, in bit/s.
    fn rates(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let mut first = 0;
        self.samples.iter().map(move |sample| {
            while self.samples[first].at + WINDOW < sample.at {
                first += 1;
            }
            let before = self.samples[first];
            let rate =
                (sample.datagrams - before.datagrams) as f64 * 8.0 / (sample.at - before.at).max(WINDOW);
            (sample.at, rate)
        })
    }

    /// Bytes of datagrams that left the queue until then.
    fn datagrams_at(&self, at: f64) -> u64 {
        self.samples.iter().take_while(|sample| sample.at <= at).last().map_or(0, |sample| sample.datagrams)
    }

    /// When the last of the download left the queue.
    fn download_end(&self) -> f64 {
        let all = self.samples.last().map_or(0, |sample| sample.stream);
        self.samples.iter().find(|sample| sample.stream >= all).map_or(0.0, |sample| sample.at)
    }
}

/// A link of 30 Mbit/s that falls to 6 and comes back.
pub(super) fn drop_rows(run: &Run) -> Vec<Row> {
    let (drop, raise) = (DROP_AT as f64, RAISE_AT as f64);
    let back = run.rates().find(|&(at, rate)| at > raise && rate > BACK_BPS).map(|(at, _)| at - raise);
    let end = run.samples.last().map_or(raise, |sample| sample.at);
    let note = "30 Mbit/s, from 10 s on 6, from 20 s on 30 again; 10 ms each way, a queue of 300 ms";
    vec![
        row(
            "drop",
            ("queue_back", "s"),
            (!run.samples.is_empty()).then(|| run.queue_until(drop, raise)),
            (0.5, true),
            note,
        ),
        row("drop", ("picture_pause", "ms"), run.longest_pause(SETTLED, end), (150.0, true), note),
        row("drop", ("rate_back", "s"), back, (4.0, true), note),
        row("drop", ("pacing_p99", "us"), quantile(&run.lateness_us, 0.99), (200.0, true), PACING),
        row("drop", ("pacing_p50", "us"), quantile(&run.lateness_us, 0.5), (200.0, true), PACING),
    ]
}

/// A link of 30 Mbit/s on which somebody downloads by CUBIC for a while.
pub(super) fn download_rows(run: &Run) -> Vec<Row> {
    let note =
        "30 Mbit/s; from 8 s on for 20 s a download by the kernel's CUBIC; 10 ms each way, a queue of 300 ms";
    let (from, ended) = ((DOWNLOAD_AT + 1) as f64, run.download_end());
    let to = (DOWNLOAD_AT + DOWNLOAD_FOR) as f64;
    let bytes = run.datagrams_at(to) - run.datagrams_at(from);
    let share = (ended > from).then(|| bytes as f64 * 8.0 / (to - from) / 30e6 * 100.0);
    let end = run.samples.last().map_or(0.0, |sample| sample.at);
    vec![
        row("download", ("share", "%"), share, (25.0, false), note),
        row("download", ("queue_back", "s"), share.map(|_| run.queue_until(ended, end)), (5.0, true), note),
    ]
}

fn row(
    case: &'static str,
    (metric, unit): (&'static str, &'static str),
    ours: Option<f64>,
    (goal, is_most): (f64, bool),
    note: &str,
) -> Row {
    let met = ours.is_some_and(|ours| if is_most { ours <= goal } else { ours >= goal });
    Row {
        bench: "live",
        case,
        metric,
        unit,
        ours: ours.map(rounded),
        rivals: BTreeMap::new(),
        goal: Some(goal),
        met,
        n: 1,
        extras: BTreeMap::from([("note", json!(note))]),
    }
}

/// A title, the largest value, and lines with their colours.
type Panel<'a> = (&'a str, f64, Vec<(&'a str, &'a [(f64, f64)])>);

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 180.0;

/// Rate, queue and age of pictures over time.
pub(super) fn svg(name: &str, run: &Run) -> String {
    let end = run.samples.last().map_or(1.0, |sample| sample.at);
    let link: Vec<_> = run.samples.iter().map(|sample| (sample.at, sample.rate_bps as f64 / 1e6)).collect();
    let rates: Vec<_> = run.rates().map(|(at, rate)| (at, rate / 1e6)).collect();
    let grants: Vec<_> = run.grants.iter().map(|(at, rate)| (*at, rate / 1e6)).collect();
    let queue: Vec<_> = run.samples.iter().map(|sample| (sample.at, sample.queue_ms)).collect();
    let ages = run.pictures.clone();
    let panels: [Panel<'_>; 3] = [
        ("Mbit/s: link, granted, carried", 40.0, vec![("#bbb", &link), ("#c70", &grants), ("#06c", &rates)]),
        ("queue, ms", 300.0, vec![("#06c", &queue)]),
        ("age of pictures delivered, ms", 300.0, vec![("#06c", &ages)]),
    ];
    let height = (HEIGHT + 30.0) * panels.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{name}</title>\n"
    );
    for (index, (title, most, lines)) in panels.iter().enumerate() {
        let bottom = (HEIGHT + 30.0) * (index + 1) as f64 - 10.0;
        let _ = writeln!(
            out,
            "<text x=\"4\" y=\"{}\">{title} (up to {most}), {end:.0} s</text>",
            bottom - HEIGHT - 4.0
        );
        let _ = writeln!(out, "<path d=\"M0 {bottom}H{WIDTH}\" stroke=\"#888\"/>");
        for (colour, points) in lines {
            let _ = write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"");
            for (at, value) in points.iter().filter(|(at, _)| (0.0..=end).contains(at)) {
                let y = bottom - (value / most).clamp(0.0, 1.0) * HEIGHT;
                let _ = write!(out, "{:.1},{y:.1} ", at / end * WIDTH);
            }
            out.push_str("\"/>\n");
        }
    }
    out.push_str("</svg>\n");
    out
}
