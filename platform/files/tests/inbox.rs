//! What an inbox takes, where it puts it, and what it never touches.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rift::{FileName, FileReason, Identity, PublicKey};
use rift_files::{Inbox, Incoming, Offer, OutgoingError, OutgoingFile, PARTS_MAX};

/// A directory of a test's own.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rift-files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn inbox(&self) -> Inbox {
        Inbox::open(&self.0.join("inbox"), 10_000_000).expect("it can be made")
    }

    /// A file outside of the inbox, and what may be offered of it.
    fn outgoing(&self, name: &str, bytes: &[u8]) -> Offer {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file");
        OutgoingFile::read(&path).expect("it is plain").offer().clone()
    }

    /// What the inbox shows and what it hides.
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let entries = fs::read_dir(self.0.join("inbox")).expect("it is there");
        let mut names: Vec<_> = entries.map(|entry| name(&entry.expect("an entry").path())).collect();
        names.sort();
        names.into_iter().partition(|name| !name.starts_with('.'))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_str().expect("text").to_owned()
}

fn peer(number: u8) -> PublicKey {
    Identity::from_secret([number; 32]).public()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Takes an offer up to the offset that it is wanted from.
fn begin(inbox: &Inbox, from: u8, offer: &Offer) -> Result<(Incoming, u64), FileReason> {
    let mut incoming = inbox.accept(&peer(from), offer.clone())?;
    loop {
        if let Some(offset) = incoming.check()? {
            return Ok((incoming, offset));
        }
    }
}

/// Takes all of a file; how it is called now.
fn receive(inbox: &Inbox, offer: &Offer, bytes: &[u8]) -> Result<String, FileReason> {
    let (mut incoming, offset) = begin(inbox, 1, offer)?;
    for part in bytes[offset as usize..].chunks(16_384) {
        incoming.write(part)?;
    }
    incoming.finish()
}

/// SPEC §14.5/2
#[test]
fn file_whose_name_is_taken_gets_another_and_replaces_nothing() {
    let place = Place::new();
    let (inbox, first, second) = (place.inbox(), bytes(40_000), bytes(40_001));
    let (one, other) = (place.outgoing("photo.tar.gz", &first), place.outgoing("photo.tar.gz", &second));
    assert_eq!(receive(&inbox, &one, &first).as_deref(), Ok("photo.tar.gz"));
    assert_eq!(receive(&inbox, &other, &second).as_deref(), Ok("photo.tar (1).gz"));
    let plain = place.outgoing("notes", b"");
    // Whatever has the name has it: a directory, or a link that leads elsewhere or nowhere.
    let directory = place.0.join("inbox");
    fs::create_dir(directory.join("notes")).expect("a directory");
    let outside = place.0.join("outside");
    symlink(&outside, directory.join("notes (1)")).expect("a link");
    assert_eq!(receive(&inbox, &plain, b"").as_deref(), Ok("notes (2)"));
    assert!(!outside.exists(), "nothing follows a link");
    assert_eq!(fs::read(directory.join("photo.tar.gz")).expect("it is there"), first);
    assert_eq!(fs::read(directory.join("photo.tar (1).gz")).expect("it is there"), second);
    let data = fs::metadata(directory.join("photo.tar.gz")).expect("it is there");
    assert_eq!((data.permissions().mode() & 0o777, data.nlink()), (0o600, 1));
    assert!(place.names().1.is_empty(), "no part is left: {:?}", place.names());
}

/// SPEC §14.5/2
#[test]
fn what_is_planted_in_the_place_of_a_part_is_neither_written_nor_removed() {
    let place = Place::new();
    let (inbox, content) = (place.inbox(), bytes(1000));
    let offer = place.outgoing("report.pdf", &content);
    drop(begin(&inbox, 1, &offer).expect("it is taken"));
    let part = place.0.join("inbox").join(&place.names().1[0]);
    let victim = place.0.join("victim");
    fs::write(&victim, b"mine").expect("a file");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::remove_file(&part).expect("it is there");
    symlink(&victim, &part).expect("a link");
    assert_eq!(begin(&inbox, 1, &offer).err(), Some(FileReason::Failed), "a link");
    fs::remove_file(&part).expect("it is there");
    fs::hard_link(&victim, &part).expect("a second name");
    assert_eq!(begin(&inbox, 1, &offer).err(), Some(FileReason::Failed), "another file's second name");
    fs::remove_file(&part).expect("it is there");
    fs::create_dir(&part).expect("a directory");
    assert_eq!(begin(&inbox, 1, &offer).err(), Some(FileReason::Failed), "a directory");
    assert_eq!(fs::read(&victim).expect("it is there"), b"mine");
}

/// SPEC §14.5/3
#[test]
fn file_has_no_name_before_its_digest_is_right_and_leaves_nothing_if_it_is_wrong() {
    let place = Place::new();
    let (inbox, content) = (place.inbox(), bytes(50_000));
    let offer = place.outgoing("program.bin", &content);
    let (mut incoming, offset) = begin(&inbox, 1, &offer).expect("it is taken");
    assert_eq!(offset, 0);
    incoming.write(&content[..49_999]).expect("there is room");
    assert!(!incoming.is_whole() && place.names().0.is_empty(), "{:?}", place.names());
    incoming.write(&[content[49_999] ^ 1]).expect("there is room");
    assert!(incoming.is_whole() && place.names().0.is_empty(), "{:?}", place.names());
    assert_eq!(incoming.finish(), Err(FileReason::Damaged));
    assert_eq!(place.names(), (vec![], vec![]), "nothing is left of it");
    // Nor does a file get a name that is cut short, or grow beyond what was offered.
    let (mut incoming, _) = begin(&inbox, 1, &offer).expect("it is taken");
    incoming.write(&content[..40_000]).expect("there is room");
    assert_eq!(incoming.write(&content[39_999..]), Err(FileReason::Damaged));
    assert_eq!(incoming.finish(), Err(FileReason::Damaged));
    assert_eq!(place.names(), (vec![], vec![]));
}

#[test]
fn broken_off_file_goes_on_where_it_ended_and_only_for_who_sent_it() {
    let place = Place::new();
    let (inbox, content) = (place.inbox(), bytes(3_000_000));
    let offer = place.outgoing("film.mkv", &content);
    let (mut incoming, _) = begin(&inbox, 1, &offer).expect("it is taken");
    incoming.write(&content[..2_500_000]).expect("there is room");
    assert_eq!(begin(&inbox, 1, &offer).err(), Some(FileReason::Busy), "it is being received");
    drop(incoming);
    // Another directory's descriptor, as after a restart.
    let inbox = place.inbox();
    assert_eq!(begin(&inbox, 2, &offer).expect("it is taken").1, 0, "somebody else begins anew");
    let longer = place.outgoing("film.mkv", &bytes(3_000_001));
    assert_eq!(begin(&inbox, 1, &longer).expect("it is taken").1, 0, "so does another file");
    assert_eq!(begin(&inbox, 1, &offer).expect("it is taken").1, 2_500_000);
    assert_eq!(receive(&inbox, &offer, &content).as_deref(), Ok("film.mkv"));
    assert_eq!(fs::read(place.0.join("inbox/film.mkv")).expect("it is there"), content);
}

#[test]
fn part_that_was_changed_is_found_out_and_sent_anew() {
    let place = Place::new();
    let (inbox, content) = (place.inbox(), bytes(100_000));
    let offer = place.outgoing("disk.img", &content);
    let (mut incoming, _) = begin(&inbox, 1, &offer).expect("it is taken");
    incoming.write(&content[..60_000]).expect("there is room");
    drop(incoming);
    let part = place.0.join("inbox").join(&place.names().1[0]);
    let mut changed = content[..60_000].to_vec();
    changed[7] ^= 1;
    fs::write(&part, changed).expect("it is ours");
    assert_eq!(receive(&inbox, &offer, &content), Err(FileReason::Damaged));
    assert_eq!(place.names(), (vec![], vec![]));
    assert_eq!(receive(&inbox, &offer, &content).as_deref(), Ok("disk.img"));
}

#[test]
fn what_is_larger_than_may_be_or_than_there_is_room_for_is_refused() {
    let place = Place::new();
    let name = FileName::new("huge").expect("it is a name");
    let huge = |size| Offer::new(size, [1; 32], name);
    assert_eq!(begin(&place.inbox(), 1, &huge(10_000_001)).err(), Some(FileReason::TooLarge));
    let inbox = Inbox::open(&place.0.join("inbox"), u64::MAX).expect("it is there");
    assert_eq!(begin(&inbox, 1, &huge(u64::MAX)).err(), Some(FileReason::TooLarge), "no disk is so large");
    assert_eq!(place.names(), (vec![], vec![]), "nothing is left of it");
}

#[test]
fn oldest_parts_go_when_there_are_too_many() {
    let place = Place::new();
    let inbox = place.inbox();
    let offers: Vec<_> = (0..PARTS_MAX + 5).map(|at| place.outgoing("many", &bytes(1000 + at))).collect();
    let (kept, _) = begin(&inbox, 1, &offers[0]).expect("it is taken");
    for offer in &offers[1..] {
        let (mut incoming, _) = begin(&inbox, 1, offer).expect("it is taken");
        incoming.write(&[1; 10]).expect("there is room");
    }
    let (_, parts) = place.names();
    assert!(parts.len() <= PARTS_MAX + 1, "{} parts", parts.len());
    let newest = offers.last().expect("there are some");
    assert_eq!(begin(&inbox, 1, newest).expect("it is taken").1, 10, "the newest stay");
    assert_eq!(begin(&inbox, 1, &offers[0]).err(), Some(FileReason::Busy), "so does what is being received");
    drop(kept);
}

#[test]
fn only_plain_files_with_names_that_fit_are_offered() {
    let place = Place::new();
    let refused = |path: &Path| OutgoingFile::read(path).expect_err("it is not to be sent");
    assert!(matches!(refused(&place.0), OutgoingError::NotAFile(_)));
    assert!(matches!(refused(&place.0.join("missing")), OutgoingError::Read(..)));
    assert!(matches!(refused(Path::new("/dev/null")), OutgoingError::NotAFile(_)));
    for name in [".hidden", "what?", "end ", "end."] {
        let path = place.0.join(name);
        fs::write(&path, b"x").expect("a file");
        assert!(matches!(refused(&path), OutgoingError::Name(_)), "{name}");
    }
}
