//! What is shared beside pictures: the clipboard, sound, files, and the way through a gateway.

use rift::Instant;

use super::{Driver, Viewers};
use crate::clipboard::SharedClipboard;
use crate::files::SharedFiles;
use crate::gateway::Membership;
use crate::sound::SharedSound;

impl Viewers {
    /// From now on this clipboard is everybody's who may.
    pub fn share_clipboard(&mut self, clipboard: SharedClipboard) {
        self.clipboard = clipboard;
    }

    /// From now on this sound is everybody's who may.
    pub fn share_sound(&mut self, sound: SharedSound) {
        self.sound = sound;
    }

    /// From now on files arrive here of everybody who may.
    pub fn share_files(&mut self, files: SharedFiles) {
        self.files = files;
    }

    /// From now on clients on the list find this host by a gateway too.
    pub fn join(&mut self, gateway: Membership) {
        self.gateway = Some(gateway);
    }

    /// Passes all of it on.
    pub(super) fn work_shares(&mut self, now: Instant, driver: &mut Driver) {
        self.clipboard.work(now, driver);
        let viewers = &self.viewers;
        self.sound.work(now, driver, |index| viewers.get(&index).is_some_and(|viewer| viewer.is_live));
        let client =
            |index| viewers.get(&index).map(|viewer| (viewer.client.name.as_str(), viewer.client.id));
        self.files.work(now, driver, client);
    }
}
