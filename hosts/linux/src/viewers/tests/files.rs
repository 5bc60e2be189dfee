//! Files of clients: whose are taken, and what sending one costs the others.

use rift::{FileHead, FileMessage, FileName, FileReason};

use super::*;
use crate::files::SharedFiles;

/// The SHA-256 of nothing at all (FIPS 180-4).
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Writes a message of `transfer`.
fn say(guest: &mut Guest, transfer: u32, message: &FileMessage<'_>) {
    let mut bytes = [0; 1000];
    let len = message.emit(transfer, &mut bytes).unwrap();
    let written = guest.driver.session().write(Clock::new().now(), Channel::File, &bytes[..len]);
    assert_eq!(written, Ok(len), "there is room");
}

fn offer(guest: &mut Guest, transfer: u32, size: u64, digest: [u8; 32]) {
    let name = FileName::new("file").unwrap();
    say(guest, transfer, &FileMessage::Offer { size, digest, name });
}

/// Everything that the host answers until it has said so many messages: kinds, transfers and bodies.
fn answers(rig: &mut Rig, guest: &mut Guest, count: usize) -> Vec<(u8, u32, Vec<u8>)> {
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    rig.until(&mut [guest], |_, guests| {
        let mut part = [0; 1000];
        let len = guests[0].driver.session().read(Channel::File, &mut part);
        bytes.extend_from_slice(&part[..len]);
        while let Some(head) = bytes.first_chunk().and_then(FileHead::parse) {
            let end = FileHead::LEN + usize::from(head.len);
            if bytes.len() < end {
                break;
            }
            answers.push((head.kind, head.transfer, bytes[FileHead::LEN..end].to_vec()));
            bytes.drain(..end);
        }
        answers.len() >= count
    });
    answers
}

fn cancelled(transfer: u32, reason: FileReason) -> (u8, u32, Vec<u8>) {
    (5, transfer, vec![reason.code()])
}

impl Rig {
    fn take_files(&mut self) -> PathBuf {
        let directory = self.state.join("files");
        std::fs::create_dir_all(&self.state).unwrap();
        let waker = self.driver.waker();
        let files = SharedFiles::start(Some(&directory), 1000, waker, Arc::default()).unwrap();
        self.viewers.share_files(files);
        directory
    }
}

/// SPEC §14.5.
#[test]
fn offers_need_the_right_to_send_whatever_else_the_stream_may_carry() {
    let mut rig = Rig::new();
    let directory = rig.take_files();
    let count = || std::fs::read_dir(&directory).unwrap().count();
    rig.allow(5, Permissions::FILE_RECEIVE);
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].steers().is_some());
    offer(&mut guest, 2, 0, EMPTY);
    assert_eq!(answers(&mut rig, &mut guest, 1), [cancelled(2, FileReason::NotPermitted)]);
    assert_eq!(count(), 0);
    // The right comes; and goes again while a file is on its way.
    rig.allow(5, Permissions::FILE_RECEIVE | Permissions::FILE_SEND);
    rig.until(&mut [&mut guest], |_, guests| guests[0].rights.len() == 2);
    offer(&mut guest, 4, 0, EMPTY);
    let said = answers(&mut rig, &mut guest, 2);
    assert_eq!(said, [(2, 4, vec![0; 8]), (4, 4, vec![])], "wanted from the beginning, and there");
    assert_eq!(std::fs::read(directory.join("file")).unwrap(), b"");
    offer(&mut guest, 6, 10, [1; 32]);
    assert_eq!(answers(&mut rig, &mut guest, 1), [(2, 6, vec![0; 8])]);
    rig.allow(5, Permissions::FILE_RECEIVE);
    rig.until(&mut [&mut guest], |_, guests| guests[0].rights.len() == 3);
    say(&mut guest, 6, &FileMessage::Data(&[7; 5]));
    assert_eq!(answers(&mut rig, &mut guest, 1), [cancelled(6, FileReason::NotPermitted)]);
    assert!(!directory.join("file (1)").exists());
}

#[test]
fn offers_that_are_one_too_many_too_large_or_malformed_are_cancelled_and_the_first_goes_on() {
    let mut rig = Rig::new();
    let directory = rig.take_files();
    rig.allow(5, Permissions::FILE_SEND);
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].steers().is_some());
    offer(&mut guest, 2, 1001, [1; 32]);
    assert_eq!(answers(&mut rig, &mut guest, 1), [cancelled(2, FileReason::TooLarge)]);
    offer(&mut guest, 4, 3, [1; 32]);
    assert_eq!(answers(&mut rig, &mut guest, 1), [(2, 4, vec![0; 8])]);
    offer(&mut guest, 6, 0, EMPTY);
    // A name that leads elsewhere; and what nobody asked for.
    let mut bad = [1, 0, 0, 0, 8, 0, 44].to_vec();
    bad.extend([&[0; 8][..], &EMPTY, b"../x"].concat());
    let now = Clock::new().now();
    assert_eq!(guest.driver.session().write(now, Channel::File, &bad), Ok(bad.len()));
    say(&mut guest, 8, &FileMessage::Data(b"?"));
    say(&mut guest, 4, &FileMessage::Data(b"abc"));
    let expected =
        [cancelled(6, FileReason::Busy), cancelled(8, FileReason::Failed), cancelled(4, FileReason::Damaged)];
    assert_eq!(answers(&mut rig, &mut guest, 3), expected);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "nothing is left");
}

#[test]
fn session_that_only_sends_files_takes_neither_the_steering_nor_pictures() {
    let mut rig = Rig::new();
    rig.take_files();
    rig.allow(5, Permissions::default_control() | Permissions::FILE_SEND);
    let mut steering = rig.connect(5);
    rig.until(&mut [&mut steering], |_, guests| guests[0].steers() == Some(true));
    let mut sending = rig.connect_wanting(5, Permissions::FILE_SEND);
    rig.until(&mut [&mut steering, &mut sending], |_, guests| guests[1].steers().is_some());
    offer(&mut sending, 2, 0, EMPTY);
    assert_eq!(answers(&mut rig, &mut sending, 2).len(), 2);
    assert_eq!(sending.rights, [Permissions::FILE_SEND]);
    assert_eq!(steering.rights.len(), 1, "it steers still");
    assert!(rig.viewers.viewers.values().filter(|viewer| viewer.lane.is_some()).count() <= 1);
}
