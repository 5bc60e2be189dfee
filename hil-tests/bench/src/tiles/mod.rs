//! `tiles`: bytes and time of pictures for boards, beside QOI and zlib over the same damaged rectangles.
//!
//! What is shown is drawn from numbers alone, so each run measures the same pictures. Every picture of ours is decoded
//! and compared; the rivals' headers are not counted.

mod coders;
mod scenes;

use std::collections::BTreeMap;

use coders::{Ours, Qoi, Rival, Zlib};
use rift_tiles::{Pixel, Rgb565, Rgb888};
use scenes::Scene;

use crate::args::Options;
use crate::failure::Failure;
use crate::report::{Row, rounded};

/// Ours may be this part of QOI on what boards are for: typing and scrolling.
const QOI_DIVISOR: f64 = 3.0;

/// What one contender needed for all pictures of a scene.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    pictures: usize,
    bytes: usize,
    encode_nanos: f64,
    decode_nanos: f64,
}

impl Cost {
    fn each(&self, of: f64) -> f64 {
        of / self.pictures.max(1) as f64
    }
}

/// All cases.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for scene in scenes::all(options.quick) {
        let exact = play::<Rgb888>(&scene, None)?;
        let small = play::<Rgb565>(&scene, None)?;
        rows.extend(rows_of(&scene, &exact, &small));
    }
    Ok(rows)
}

/// Plays a scene to everybody. Ours, then the rivals.
fn play<P: Pixel>(scene: &Scene, soft_len: Option<usize>) -> Result<[Cost; 3], Failure> {
    let mut costs = [Cost::default(); 3];
    let mut ours = Ours::<P>::new(scenes::WIDTH, scenes::HEIGHT)?;
    let mut canvas = (scene.begin)();
    // The first picture is a case of its own.
    ours.picture(&canvas, None, soft_len)?;
    for step in 0..scene.pictures {
        let damage = (scene.step)(&mut canvas, step);
        let all: [(usize, f64, f64); 3] = [
            ours.picture(&canvas, Some(damage), soft_len)?,
            Qoi.picture(&canvas.cut(&damage), damage.width.into(), damage.height.into())?,
            Zlib.picture(&canvas.cut(&damage), damage.width.into(), damage.height.into())?,
        ];
        for (cost, (bytes, encode_nanos, decode_nanos)) in costs.iter_mut().zip(all) {
            cost.pictures += 1;
            cost.bytes += bytes;
            cost.encode_nanos += encode_nanos;
            cost.decode_nanos += decode_nanos;
        }
    }
    Ok(costs)
}

fn rows_of(scene: &Scene, exact: &[Cost; 3], small: &[Cost; 3]) -> Vec<Row> {
    let [ours, qoi, zlib] = exact;
    let note = "per picture, exact; RGB888, and RGB565 as ours alone; rivals over the same rectangles without headers";
    let row = |metric, unit, figure: &dyn Fn(&Cost) -> f64, goal: Option<f64>| {
        let value = figure(ours);
        Row {
            bench: "tiles",
            case: scene.name,
            metric,
            unit,
            ours: Some(rounded(value)),
            rivals: BTreeMap::from([
                ("qoi", Some(rounded(figure(qoi)))),
                ("zlib", Some(rounded(figure(zlib)))),
            ]),
            goal: goal.map(rounded),
            met: goal.is_none_or(|goal| value <= goal),
            n: ours.pictures,
            extras: BTreeMap::from([("note", note.into()), ("rgb565", rounded(figure(&small[0])).into())]),
        }
    };
    let bytes = |cost: &Cost| cost.each(cost.bytes as f64);
    let encode = |cost: &Cost| cost.each(cost.encode_nanos) / 1e6;
    let decode = |cost: &Cost| cost.each(cost.decode_nanos) / 1e6;
    let goal = scene.is_judged.then(|| bytes(qoi) / QOI_DIVISOR);
    vec![
        row("bytes", "B", &bytes, goal),
        row("encode", "ms", &encode, None),
        row("decode", "ms", &decode, None),
    ]
}
