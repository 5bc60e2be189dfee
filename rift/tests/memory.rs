//! What a session takes, all of it known when a program is built (SPEC §19.1).

use rift::{Endpoint, Noise, Session, SignalStorage, Storage};

const KIB: usize = 1024;

/// As a board's client has it: packets of a round trip, two pictures, streams with windows of 4 KiB, no sound.
type Thin = Storage<&'static mut [u8], 256, 512, 2, 4096>;
/// As a desktop's viewer has it: `rift-mio` pins its own.
type Desktop = Storage<Vec<u8>, 4096, 4096, 5, 32_768, 65_536, 1160>;
/// As little as there can be of what could carry media.
type Least = Storage<&'static mut [u8], 64, 64, 0, 64, 64>;

#[test]
fn session_of_a_thin_client_takes_96_kib_at_most_beside_its_pictures() {
    let session = size_of::<Session<&mut Thin, Noise>>();
    let memory = size_of::<Thin>();
    println!("thin: {session} bytes and {memory} of memory");
    assert!(session + memory <= 96 * KIB);
    // What holds today, so that growth is noticed where it happens.
    assert!(session <= 24 * KIB && memory <= 52 * KIB);
}

#[test]
fn session_of_a_desktop_takes_8_mib_at_most_with_its_pictures() {
    let pictures = 5 * rift::limits::SHARDS_MAX * rift::limits::DATAGRAM_MIN;
    let session = size_of::<Session<Box<Desktop>, Noise>>();
    let memory = size_of::<Desktop>();
    println!("desktop: {session} bytes, {memory} of memory, {pictures} of pictures");
    assert!(session + memory + pictures <= 8 * KIB * KIB);
    assert!(memory <= 768 * KIB);
}

#[test]
fn endpoint_and_the_least_of_sessions_are_small() {
    let (endpoint, session) = (size_of::<Endpoint<Noise>>(), size_of::<Session<&mut Least, Noise>>());
    let memory = size_of::<Least>();
    println!("an endpoint {endpoint} bytes; the least session {session} and {memory} of memory");
    // Hybrid handshakes, where they are built in, need room for their longer messages.
    assert!(endpoint <= if cfg!(feature = "experimental") { 160 * KIB } else { 48 * KIB });
    assert!(session + memory <= 32 * KIB);
}

/// A gateway has one of these for each device (SPEC §19.1).
#[test]
fn session_that_only_signals_takes_12_kib_at_most() {
    let session = size_of::<Session<&mut SignalStorage, Noise>>();
    let memory = size_of::<SignalStorage>();
    println!("signalling: {session} bytes and {memory} of memory");
    let hybrid = if cfg!(feature = "experimental") { 5 * KIB / 2 } else { 0 };
    assert!(session <= 8 * KIB + hybrid);
    assert!(memory <= 4 * KIB);
}
