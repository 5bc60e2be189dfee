//! What people carry as text, and what hosts and relays sign for themselves (SPEC §4.5–§4.9, §6.6, §8, §17, §18): what
//! was made is taken by whom it is for and comes back as it was; what was changed is not; no secret is printed.

use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;

use rift::crypto::cpace::{Cpace, Inputs, Message};
use rift::crypto::{
    BindKey, CookieJar, CookieKey, DiscoveryTag, IdentityError, Mac1Key, Side, TokenKey, mac1, mac2, reset,
    verify_mac1,
};
use rift::limits::{PAIRING_GUESSES, PIN_LEN_MAX, PIN_LEN_MIN};
use rift::paths::relay::relay_id;
use rift::paths::{CandidateKind, Candidates};
use rift::wire::bind::LeaseSide;
use rift::wire::signal::EnrolmentToken;
use rift::{FileName, Identity, Instant, PairingWindow, Permissions, Pin, PublicKey, SignalDescription};

use crate::bytes::{Bytes, Script};
use crate::seeds::Seed;

/// Calls of one story of a window: bounds its time.
const STEPS_MAX: usize = 64;

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 8 {
        0 => texts(bytes.rest()),
        1 => identity(&mut bytes),
        2 => token(&mut bytes),
        3 => cookie(&mut bytes),
        4 => proofs(&mut bytes),
        5 => pairing(&mut bytes),
        6 => candidates(&mut bytes),
        _ => times(&mut bytes),
    }
}

/// Asserts that nothing of a secret shows where a value is printed for people.
fn must_hide(value: &impl Debug, secret: &str) {
    let text = format!("{value:?}").to_lowercase();
    assert!(!text.contains(&secret.to_lowercase()), "{text} shows a secret");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text as everything that it could be.
fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<PublicKey>() {
        Ok(key) => must_be_the_same_id(key, &text),
        Err(error) => {
            let is_there = matches!(error, IdentityError::Character(found) if !text.contains(found));
            assert!(!is_there && !error.to_string().is_empty(), "{error}");
        }
    }
    if let Some(token) = EnrolmentToken::parse(&text) {
        assert_eq!(*token.to_text(), text.to_ascii_lowercase(), "a token for enrolling");
        must_hide(&token, &text);
    }
    if let Some(tag) = DiscoveryTag::parse(&text) {
        assert_eq!(*tag.to_text(), text.to_ascii_lowercase(), "a tag");
    }
    match Pin::parse(&text) {
        Ok(pin) => {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(pin.digits(), digits, "a PIN");
            assert!((PIN_LEN_MIN..=PIN_LEN_MAX).contains(&digits.len()), "SPEC §8.7");
            must_hide(&pin, &digits);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(permission) = Permissions::from_word(&text) {
        assert!(permission.words().eq([&*text]), "a word stands for one permission");
    }
    if let Some(name) = FileName::new(&text) {
        assert!(name.as_str() == text && !text.contains(['/', '\\', '\0']), "a file's name is no path");
    }
    let signal = SignalDescription::new(&text);
    let is_shown = signal.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(is_shown && signal.as_str().len() <= SignalDescription::LEN_MAX, "{signal:?}");
    assert_eq!(
        SignalDescription::new(signal.as_str()).to_string(),
        signal.as_str(),
        "a signal's description"
    );
}

/// What people write differently and mean as the same.
fn must_be_the_same_id(key: PublicKey, text: &str) {
    let meant = |text: &str| -> String {
        let letters =
            text.trim().chars().filter(|&letter| letter != '-').map(|letter| letter.to_ascii_uppercase());
        letters
            .map(|letter| if letter == 'O' { '0' } else { letter })
            .collect::<String>()
            .replace(['I', 'L'], "1")
    };
    assert_eq!(meant(&key.to_string()), meant(text), "a Wavry ID");
}

fn key(bytes: &mut Bytes<'_>) -> [u8; 32] {
    let drawn = bytes.take(32);
    core::array::from_fn(|at| drawn.get(at).copied().unwrap_or(0))
}

/// An identity, its text, and what only who knows it recognises.
fn identity(bytes: &mut Bytes<'_>) {
    let identity = Identity::from_secret(key(bytes));
    let public = identity.public();
    assert_eq!(public.to_string().parse(), Ok(public), "a Wavry ID");
    let mut letters = public.to_string().into_bytes();
    let at = bytes.below(letters.len());
    letters[at] = bytes.u8() & 0x7f;
    if let Ok(other) = String::from_utf8_lossy(&letters).parse::<PublicKey>() {
        must_be_the_same_id(other, &String::from_utf8_lossy(&letters));
    }
    must_hide(&identity, &hex(identity.secret_bytes()));
    let other = PublicKey::from_bytes(key(bytes));
    let tag = DiscoveryTag::new(&public, bytes.u64().to_be_bytes());
    assert!(tag.is_of(&public) && (other == public || !tag.is_of(&other)), "a tag is of one host");
    assert_eq!(DiscoveryTag::parse(&tag.to_text()), Some(tag), "a tag");
    let token = EnrolmentToken(core::array::from_fn(|_| bytes.u8()));
    assert_eq!(EnrolmentToken::parse(&token.to_text()), Some(token), "a token for enrolling");
    assert!(other == public || relay_id(&other) != relay_id(&public), "relays have names of their own");
    let words = Permissions::from_bits_truncate(bytes.u32());
    let read =
        words.words().filter_map(Permissions::from_word).fold(Permissions::empty(), Permissions::union);
    assert_eq!(read, words, "permissions have words");
    assert!(words.may_steer() || !words.contains(Permissions::POINTER), "who has a pointer steers");
}

fn address(bytes: &mut Bytes<'_>) -> SocketAddr {
    let port = bytes.u16();
    if bytes.flag() {
        SocketAddr::from(([192, 0, bytes.u8(), bytes.u8()], port))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, bytes.u16(), 0, 0, 0, bytes.u8().into()], port))
    }
}

/// Flips a bit of some bytes that are not empty.
fn flip(place: &mut [u8], bytes: &mut Bytes<'_>) {
    let bit = usize::from(bytes.u16()) % (8 * place.len());
    place[bit / 8] ^= 1 << (bit % 8);
}

/// Address tokens (SPEC §4.14).
fn token(bytes: &mut Bytes<'_>) {
    let (host, client) = (TokenKey::new(&key(bytes)), PublicKey::from_bytes(key(bytes)));
    let (home, elsewhere) = (address(bytes), address(bytes));
    let (serial, now) = (bytes.u64(), bytes.u64());
    let token = host.make(serial, &client, home);
    assert_eq!(host.verify(token.as_bytes(), serial, &client, home), Some(serial), "it is taken at once");
    assert_eq!(rift::AddressToken::from_bytes(*token.as_bytes()), token, "a token is its bytes");
    if host.verify(token.as_bytes(), now, &client, elsewhere).is_some() {
        assert!(now.abs_diff(serial) < 8 * 24 * 3600 * 1_000_000, "a token runs out");
        assert_eq!(home.is_ipv4(), elsewhere.is_ipv4(), "a token is for a network");
    }
    let mut forged = *token.as_bytes();
    flip(&mut forged, bytes);
    assert_eq!(host.verify(&forged, serial, &client, home), None, "a token that was changed");
    must_hide(&token, &hex(token.as_bytes()));
    must_hide(&host, &hex(token.as_bytes()));
}

/// Cookies on their way, and in a flight (SPEC §4.15).
fn cookie(bytes: &mut Bytes<'_>) {
    let (secret, host) = (key(bytes), PublicKey::from_bytes(key(bytes)));
    let (jar, seal) = (CookieJar::new(&secret), CookieKey::new(&host));
    let (from, other, now) = (address(bytes), address(bytes), bytes.u64());
    let flight = bytes.run(200);
    let cookie = jar.cookie(now, from);
    let authenticated = Mac1Key::new(&host).mac1(flight);
    assert_eq!(authenticated, mac1(&host, flight), "one MAC");
    assert!(verify_mac1(&host, flight, &authenticated), "a MAC of one's own");
    let mut sealed = seal.seal(&authenticated, &cookie);
    assert_eq!(seal.open(&authenticated, &sealed), Some(cookie), "a cookie arrives");
    let mut with_cookie = mac2(&cookie, flight);
    assert!(jar.verify(now, from, flight, &with_cookie), "a cookie is taken from whom it was given");
    assert!(other == from || !jar.verify(now, other, flight, &with_cookie), "and from nobody else");
    flip(&mut sealed, bytes);
    assert_eq!(seal.open(&authenticated, &sealed), None, "a cookie that was changed");
    flip(&mut with_cookie, bytes);
    assert!(!jar.verify(now, from, flight, &with_cookie), "a MAC that was changed");
    must_hide(&jar, &hex(&cookie));
}

/// Resets (SPEC §6.6), and what binds at a relay (SPEC §18.8).
fn proofs(bytes: &mut Bytes<'_>) {
    let (secret, connection) = (key(bytes), bytes.u32());
    let (token, trigger) = (reset::token(&secret, connection), bytes.u64().to_be_bytes());
    let mut proof = reset::proof(&token, &trigger);
    assert!(reset::verify(&token, &trigger, &proof), "a reset answers its packet");
    let other = bytes.u64().to_be_bytes();
    assert!(other == trigger || !reset::verify(&token, &other, &proof), "and no other one");
    flip(&mut proof, bytes);
    assert!(!reset::verify(&token, &trigger, &proof), "a proof that was changed");
    let (peer, relay) = (Identity::from_secret(secret), Identity::from_secret(key(bytes)));
    let tag = bytes.u64().to_be_bytes();
    let sides = [LeaseSide::Caller, LeaseSide::Callee];
    let keys = sides.map(|side| {
        let (one, two) = (
            BindKey::new(&peer, &relay.public(), &tag, side),
            BindKey::new(&relay, &peer.public(), &tag, side),
        );
        (one.expect("an honest key"), two.expect("an honest key"))
    });
    let mut message = [bytes.run(64), &[0; 16]].concat();
    keys[0].0.sign(&mut message);
    assert!(keys[0].1.verify(&message), "both have the key");
    assert!(!keys[1].1.verify(&message), "each side has its own");
    must_hide(&keys[0].0, &hex(&secret));
    flip(&mut message, bytes);
    assert!(!keys[0].1.verify(&message), "a message that was changed");
    assert!(!keys[0].1.verify(&message[..bytes.below(16)]), "a message without a MAC");
}

/// A PIN, its window, and what two make of it (SPEC §8.6, §8.7).
fn pairing(bytes: &mut Bytes<'_>) {
    let pin = Pin::draw(core::array::from_fn(|_| bytes.u8()));
    assert_eq!(
        Pin::parse(pin.digits()).map(|read| read.digits().to_owned()),
        Ok(pin.digits().to_owned()),
        "a PIN"
    );
    let (mut window, mut now) = (PairingWindow::default(), Instant::from_millis(1));
    let mut since_paired = 0;
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        match bytes.u8() % 8 {
            0 => match window.open(now, pin.clone()) {
                Ok(()) => assert!(window.is_open(now) && window.guesses() == PAIRING_GUESSES),
                Err(error) => assert!(error.until > now && !error.to_string().is_empty()),
            },
            1 => window.close(),
            2 => {
                window.paired();
                since_paired = 0;
            }
            3 => now = now.plus_micros(u64::from(bytes.u16()) * 100_000),
            4 => shares(&pin, bytes),
            _ => {
                let (was_open, left) = (window.is_open(now), window.guesses());
                let guess = window.guess(now);
                assert_eq!(guess.is_some(), was_open, "a guess is had while the window is open");
                since_paired += usize::from(guess.is_some());
                must_hide(&guess, pin.digits());
                assert!(!was_open || window.guesses() == left - 1, "and is spent");
            }
        }
        assert!(window.closes_at().is_some() || window.guesses() == 0, "a window is open or has no guesses");
        let text = format!("{window:?}");
        assert_eq!(text.contains("Pin(..)"), window.closes_at().is_some(), "{text}");
    }
    // 64 steps cannot open it more often than that.
    assert!(since_paired <= STEPS_MAX * usize::from(PAIRING_GUESSES));
}

/// Two runs of CPace with the same digits agree, and with other ones do not.
fn shares(pin: &Pin, bytes: &mut Bytes<'_>) {
    let (session, other) = (key(bytes), bytes.flag());
    let theirs = if other { "000001" } else { pin.digits() };
    let inputs = |digits| Inputs { password: str::as_bytes(digits), channel: b"who", session: &session };
    let (one, two) = (Cpace::new(inputs(pin.digits()), key(bytes)), Cpace::new(inputs(theirs), key(bytes)));
    must_hide(&inputs(pin.digits()), pin.digits());
    must_hide(&one, &hex(&session));
    let said = [one.share(), two.share()].map(|share| Message { share, associated: b"" });
    let keys =
        [one.key(Side::Initiator, &session, b"", said[1]), two.key(Side::Responder, &session, b"", said[0])];
    let [Some(one), Some(two)] = keys else { return };
    let is_agreed = pin.digits() == theirs;
    assert_eq!(one.as_bytes() == two.as_bytes(), is_agreed, "the same digits, the same key");
    let tag = one.confirmation_key(&session).confirm(said[0]);
    let confirmation = two.confirmation_key(&session);
    assert_eq!(confirmation.verify(said[0], &tag), is_agreed, "who knows the digits is believed");
    must_hide(&one, &hex(&one.as_bytes()[..8]));
    must_hide(&confirmation, &hex(&tag[..8]));
}

/// Addresses of two peers (SPEC §18.1).
fn candidates(bytes: &mut Bytes<'_>) {
    let mut lists = [Candidates::new(), Candidates::default()];
    while !bytes.is_empty() {
        let list = bytes.below(2);
        let kind = CandidateKind::of(bytes.u8() % 3).expect("there are three");
        let address = if bytes.u8() < 16 {
            SocketAddr::from((core::array::from_fn::<u8, 16, _>(|_| bytes.u8()), bytes.u16()))
        } else {
            address(bytes)
        };
        let before = lists[list].len();
        let is_taken = lists[list].push(kind, address).is_ok();
        assert!(lists[list].len() <= before + usize::from(is_taken), "one at most is added");
        assert_eq!(lists[list].is_empty(), lists[list].iter().next().is_none());
    }
    let [one, two] = &lists;
    assert_eq!(one.shares_network(two), two.shares_network(one), "a network is shared by both");
    assert!(one.iter().all(|candidate| candidate.address.port() != 0), "SPEC §18.1");
    let is_inside =
        |text: String| ["10.", "172.", "192.168.", "[fc", "[fd"].iter().any(|net| text.starts_with(net));
    assert!(
        one.iter().all(|one| !one.is_private() || is_inside(one.address.to_string())),
        "RFC 1918, RFC 4193"
    );
}

/// Time does not wrap.
fn times(bytes: &mut Bytes<'_>) {
    let mut at = Instant::from_micros(bytes.u64());
    while !bytes.is_empty() {
        let step = Duration::from_micros(bytes.u64() >> bytes.below(64));
        let later = at + step;
        assert!(later >= at && later - at <= step && later.since(at) == later - at);
        assert_eq!(at.until(later), Duration::ZERO, "it has passed");
        assert_eq!(later.until(at), later - at, "as long as it is until then");
        assert!(later == Instant::FAR_FUTURE || later - at == step, "time stands still at its end only");
        at += step;
        assert_eq!(at, later);
    }
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let public = Identity::from_secret([3; 32]).public();
    let mut texts: Vec<(String, String)> = vec![
        ("id".into(), public.to_string().to_lowercase()),
        ("enrolment".into(), EnrolmentToken([0xab; 16]).to_text().as_str().into()),
        ("tag".into(), DiscoveryTag::new(&public, [9; 8]).to_text().as_str().into()),
        ("pin".into(), " 123-456".into()),
        ("word".into(), "clipboard-read".into()),
        ("name".into(), "1920x1080 at 60.00 Hz".into()),
    ];
    texts.push(("mistyped".into(), public.to_string().replacen(['2', '7'], "8", 1)));
    texts.push(("long".into(), format!("{public}AA")));
    let text = |(name, text): (String, String)| ("claims", name, [&[0], text.as_bytes()].concat());
    let mut seeds: Vec<Seed> = texts.into_iter().map(text).collect();
    let filler = crate::bytes::Noise::new(5).bytes(400);
    for (kind, name) in
        [(1, "identity"), (2, "token"), (3, "cookie"), (4, "proofs"), (6, "candidates"), (7, "times")]
    {
        let len = if kind == 6 { 100 } else { 160 };
        seeds.push(("claims", name.into(), [&[kind], &filler[..len]].concat()));
    }
    let mut window = filler[..16].iter().fold(Script::default().u8(5), |window, &byte| window.u8(byte));
    for step in [0, 6, 6, 6, 0, 3, 9, 9, 0, 1, 0, 3, 0xff, 0xff, 6, 0, 6, 2, 0] {
        window = window.u8(step);
    }
    // The same digits, then other ones; a share in between that is none.
    for is_other in [0, 1] {
        window = filler[..32].iter().fold(window.u8(4), |window, &byte| window.u8(byte)).u8(is_other);
        window = filler[..64].iter().fold(window, |window, &byte| window.u8(byte));
    }
    seeds.push(("claims", "window".into(), window.into_bytes()));
    seeds
}
