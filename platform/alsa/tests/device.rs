//! Devices that every machine with ALSA has: one that swallows and gives silence, and one that is not there. What real
//! cards do is tried in the VM (`cargo rig vm --test`).

use core::time::Duration;

use rift::Instant;
use rift_alsa::{AlsaError, AlsaSink, AlsaSource, Direction, check};
use rift_hal::{AudioSink, AudioSource, AudioState};

const AT: Instant = Instant::from_millis(1000);
const MISSING: &str = "hw:CARD=NoSuchCard";

/// Whether ALSA's configuration is there; without it there is not even the device `null`.
fn has_null() -> bool {
    let outcome = check("null", Direction::Playback);
    if let Err(error) = &outcome {
        eprintln!("skipped: {error}");
    }
    outcome.is_ok()
}

#[test]
fn device_takes_what_it_has_room_for() {
    if !has_null() {
        return;
    }
    let mut sink = AlsaSink::new("null");
    assert_eq!(sink.state(), AudioState::Stopped, "nothing is opened before it is asked for something");
    let room = sink.room(AT).expect("it opens");
    assert!((240..=2880).contains(&room.frames), "{room:?}");
    sink.write(AT, &vec![0; room.frames * 2]).expect("it takes them");
    assert_eq!(sink.state(), AudioState::Running);
    sink.wait(Duration::from_millis(1));
    sink.stop();
    assert_eq!((sink.state(), sink.underruns()), (AudioState::Stopped, 0));
}

#[test]
fn device_gives_frames_with_their_time() {
    if !has_null() {
        return;
    }
    let mut source = AlsaSource::new("null");
    let mut samples = [1; 960];
    source.wait(Duration::from_millis(1));
    let recorded = source.read(AT, &mut samples).expect("it opens");
    // What `null` gives is up to ALSA's release: nothing, or frames that it leaves as they are.
    if let Some(recorded) = recorded {
        assert!(recorded.frames <= 480 && recorded.captured_at <= AT);
    }
    assert_eq!((source.state(), source.overruns()), (AudioState::Running, 0));
}

#[test]
fn device_that_is_not_there_is_told_once_and_tried_again_by_and_by() {
    let mut sink = AlsaSink::new(MISSING);
    let mut source = AlsaSource::new(MISSING);
    let is_missing = |error: &AlsaError| matches!(error, AlsaError::Missing(name) if name == MISSING);
    assert!(sink.room(AT).is_err_and(|error| is_missing(&error)));
    assert!(source.read(AT, &mut [0; 960]).is_err_and(|error| is_missing(&error)));
    let soon = AT.plus_micros(99_000);
    assert_eq!(sink.room(soon).expect("nothing is tried yet").frames, 0);
    assert_eq!(source.read(soon, &mut [0; 960]).expect("nothing is tried yet"), None);
    assert_eq!((sink.state(), source.state()), (AudioState::Lost, AudioState::Lost));
    let due = AT.plus_micros(100_000);
    assert!(sink.room(due).is_err() && source.read(due, &mut [0; 960]).is_err(), "it is tried again");
    assert!(sink.write(due, &[0; 960]).is_ok(), "what is written meanwhile is lost, no more");
}

#[test]
fn name_with_a_zero_in_it_is_no_device() {
    assert!(matches!(check("hw:\0", Direction::Capture), Err(AlsaError::Missing(_))));
}
