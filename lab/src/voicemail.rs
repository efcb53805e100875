//! What lies in a mailbox: the files that `VoiceMail` left, and what is heard in them.

use std::fs;
use std::path::PathBuf;

use crate::error::{At as _, Result};
use crate::server::Asterisk;
use crate::tone::Recording;

/// A message that a caller left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its sound, a WAV file.
    pub path: PathBuf,
}

impl Message {
    /// Whether this tone is in it.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn has_tone(&self, hz: u32) -> Result<bool> {
        let wav = fs::read(&self.path).at("read", &self.path)?;
        Ok(Recording::parse(&wav).is_some_and(|heard| heard.has_tone(hz)))
    }
}

impl Asterisk {
    /// The new messages of a mailbox of the voicemail context `default`, oldest first.
    ///
    /// # Errors
    ///
    /// If its folder cannot be read.
    pub fn new_messages(&self, mailbox: &str) -> Result<Vec<Message>> {
        // A message has a sheet with its particulars, which is written when the sound is whole.
        let is_whole = |message: &Message| message.path.with_extension("txt").exists();
        Ok(self.sounds_in(mailbox, "INBOX")?.into_iter().filter(is_whole).collect())
    }

    /// The message that a caller is speaking into this mailbox just now.
    ///
    /// # Errors
    ///
    /// If its folder cannot be read.
    pub fn message_in_the_making(&self, mailbox: &str) -> Result<Option<Message>> {
        Ok(self.sounds_in(mailbox, "tmp")?.pop())
    }

    fn sounds_in(&self, mailbox: &str, folder: &str) -> Result<Vec<Message>> {
        let folder = self.home().join("spool/voicemail/default").join(mailbox).join(folder);
        // Made when the first message comes.
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).at("read", &folder)? {
            let path = entry.at("read", &folder)?.path();
            if path.extension().is_some_and(|extension| extension == "wav") {
                found.push(Message { path });
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}
