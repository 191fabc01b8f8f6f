//! The attempts that are being served: their tokens, jobs, files, and how far each has spoken.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use subtle::ConstantTimeEq;
use webmatrix_wire::{AttemptId, Job};

/// Bytes of a token: 256 bits, so that guessing is no attack.
const TOKEN_BYTES: usize = 32;

/// What proves that a request comes from the page that was given the attempt.
#[derive(Clone)]
pub struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// A fresh token from the operating system's generator.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As it stands in the page's URL fragment.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether `text` is this token; takes the same time wherever the two differ.
    fn matches(&self, text: &str) -> bool {
        let mut given = [0; TOKEN_BYTES];
        hex::decode_to_slice(text, &mut given).is_ok() && bool::from(self.0.ct_eq(&given))
    }
}

impl std::fmt::Debug for Token {
    /// Tokens do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Where the bytes of a file come from that an attempt may fetch.
#[derive(Clone, Debug)]
pub enum FileSource {
    /// From memory.
    Bytes(Bytes),
    /// From disk, streamed.
    Disk(PathBuf),
}

/// The files of an attempt, by the name that the job uses. Nothing else can be fetched.
pub type Files = BTreeMap<String, FileSource>;

/// How far an attempt has spoken.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// The next sequence number.
    pub(super) next: u64,
    /// Its last message was `done` or `failed`.
    pub(super) ended: bool,
    /// The hash of its outputs, once they are in.
    pub(super) outputs: Option<String>,
}

/// One attempt while it is served.
#[derive(Debug)]
pub(super) struct Live {
    token: Token,
    pub(super) job: Job,
    pub(super) files: Files,
    /// Held while messages are written, so that two requests of one page cannot interleave.
    pub(super) spoken: tokio::sync::Mutex<Spoken>,
}

/// The attempts that are being served. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    live: Arc<Mutex<HashMap<AttemptId, Arc<Live>>>>,
    runtimes: Arc<BTreeMap<String, Files>>,
}

impl Attempts {
    /// With other runtimes for their pages to import, by name: what a page imports cannot carry a token.
    pub fn with_runtimes(runtimes: BTreeMap<String, Files>) -> Self {
        Self { runtimes: Arc::new(runtimes), ..Self::default() }
    }

    /// Whether there are any.
    pub(super) fn have_runtimes(&self) -> bool {
        !self.runtimes.is_empty()
    }

    /// A file of another runtime.
    pub(super) fn of_runtime(&self, runtime: &str, file: &str) -> Option<&FileSource> {
        self.runtimes.get(runtime)?.get(file)
    }

    /// Serves an attempt until [`Self::close`]; its page needs the token.
    pub fn open(&self, job: Job, files: Files) -> Result<Token, getrandom::Error> {
        let token = Token::random()?;
        let live = Live { token: token.clone(), job: job.clone(), files, spoken: Default::default() };
        self.map().insert(job.attempt, Arc::new(live));
        Ok(token)
    }

    /// Ends an attempt: from now on its token is dead.
    pub fn close(&self, attempt: &AttemptId) {
        self.map().remove(attempt);
    }

    /// The attempt, if it is live and the token is its own.
    pub(super) fn authorised(&self, attempt: &str, token: &str) -> Option<Arc<Live>> {
        let live = self.map().get(&AttemptId(attempt.to_owned())).cloned()?;
        live.token.matches(token).then_some(live)
    }

    /// The map is valid after every statement that holds it, so a panicking holder does no harm.
    fn map(&self) -> MutexGuard<'_, HashMap<AttemptId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_matches() {
        let token = Token::random().unwrap_or_else(|error| panic!("{error}"));
        let hex = token.to_hex();
        assert_eq!(hex.len(), 64);
        assert!(token.matches(&hex));
        for wrong in ["", "00", &hex[..62], &"0".repeat(64), &format!("{hex}00"), "zz"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
