//! Stories that the surface begins with.

use crate::bytes::Script;
use crate::seeds::Seed;

/// What a story is told with: the first bytes of steps.
const CALM: u8 = 7;
const PATH: u8 = 8;
const RESTART: u8 = 9;
const CALL: u8 = 10;
const PRESS: u8 = 11;
const MISLEAD: u8 = 12;
const REFUSE: u8 = 13;
const CLIENT: u8 = 14;
const HOST: u8 = 17;

/// Everything that applications do all the time.
const BUSY: u8 = 0x2f;
const LOSSY: u8 = 0x40;

fn begin(shape: u8) -> Script {
    Script::default().u8(shape).u8(CALM).u8(20).u8(0)
}

fn calm(script: Script, tens_of_ms: u8, busy: u8) -> Script {
    script.u8(CALM).u8(tens_of_ms).u8(busy)
}

/// Each application does each thing once.
fn all(mut script: Script) -> Script {
    let client: [&[u8]; 14] = [
        &[0],
        &[1, 0x3f, 2, 2, 0],
        &[1, 0x3f, 3, 3, 1, 0],
        &[1, 0x3f, 9, 4, 9, 9],
        &[3, 3, 0, 9, 9, 0, 0, 9, 9],
        &[3, 0, 0, 9, 9, 0, 0, 9, 9],
        &[4, 3, 2, 7, 7],
        &[5, 40],
        &[6],
        &[7, 1, 4, 0],
        &[7, 2, 4, 0],
        &[8],
        &[9],
        &[2],
    ];
    let host: [&[u8]; 13] = [
        &[2, 1, 2, b'1', b'2'],
        &[0, 20, 0],
        &[1, 1, 9, 9, 0xff, 0xff],
        &[2, 5, 4, b'1', b'2', 0xc3, 0xa4],
        &[3, 50],
        &[4],
        &[5, 1, 4, 0],
        &[6, 0, 0, 0, 0x04, 0x07],
        &[6, 1],
        &[7],
        &[8, 2],
        &[9, 1, 1, 1],
        &[10],
    ];
    for step in client {
        script = step.iter().fold(script.u8(CLIENT), |script, &byte| script.u8(byte));
        script = calm(script, 1, 0);
    }
    for step in host.into_iter().chain(host) {
        script = step.iter().fold(script.u8(HOST), |script, &byte| script.u8(byte));
        script = calm(script, 1, 0);
    }
    script
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut stories: Vec<(String, Script)> = Vec::new();
    // By either pattern and suite; the keys are renewed on the way.
    for (name, shape) in [("xx", 0), ("ik", 16), ("hybrid-xx", 32), ("hybrid-ik", 48)] {
        stories.push((format!("{name}-all"), calm(all(begin(shape | 8)), 120, BUSY)));
        let token = calm(begin(shape).u8(HOST).u8(7), 30, 0);
        let again = calm(calm(token.u8(CALL).u8(1), 40, 1).u8(RESTART), 40, 4).u8(CALL).u8(0);
        stories.push((format!("{name}-again"), calm(again, 60, 1)));
    }
    // A wide path is found out, becomes narrow, and says so or does not.
    for (name, shape, path) in
        [("told", 19, 8 + 2), ("untold", 19, 3), ("narrower", 3, 8 + 7), ("limited", 7, 0)]
    {
        let wide = calm(begin(shape), 90, 0x31);
        stories.push((format!("mtu-{name}"), calm(calm(wide.u8(PATH).u8(path), 180, 0x91), 80, 0x31)));
    }
    stories.push(("marked".into(), calm(begin(1).u8(PATH).u8(16), 200, BUSY)));
    stories.push(("lossy".into(), calm(calm(begin(16), 190, BUSY | LOSSY), 190, BUSY | LOSSY)));
    // More than is computed without a cookie, then one that is known.
    for (name, shape) in [("xx", 0), ("ik", 16), ("hybrid", 48)] {
        let pressed = begin(shape).u8(PRESS).u8(59).u8(0).u8(PRESS).u8(59).u8(1).u8(PRESS).u8(3).u8(2);
        stories.push((format!("pressed-{name}"), calm(pressed.u8(CALL).u8(0), 60, 0)));
        let misled = Script::default().u8(shape);
        let misled =
            (0..8).fold(misled, |script, kind| script.u8(MISLEAD).u8(kind).u8(0).u8(0).u8(0).u8(0).u8(0));
        stories.push((format!("misled-{name}"), calm(misled, 20, 0)));
        let refused = Script::default().u8(shape).u8(REFUSE).u8(1);
        stories.push((
            format!("refused-{name}"),
            calm(calm(refused, 40, 0).u8(REFUSE).u8(3).u8(CALL).u8(0), 40, 0),
        ));
    }
    // Nobody answers but somebody who says that it is another version.
    let silent = Script::default().u8(0).u8(4).u8(0).u8(MISLEAD).u8(1);
    stories.push(("version".into(), (0..12).fold(silent, |script, _| script.u8(6).u8(40).u8(4).u8(0))));
    stories.into_iter().map(|(name, script)| ("life", name, script.into_bytes())).collect()
}
