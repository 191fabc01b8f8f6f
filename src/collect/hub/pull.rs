//! Brings a checkpoint into the cache, goes on where it was broken off, and hashes every file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::CacheRepo;
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use sha2::{Digest, Sha256};

use super::error::{is_passing, status};
use super::{Check, Hub, HubError, Pulled, PulledFile, repo};
use crate::collect::answer::VOCABULARY;
use crate::collect::material::{CONFIG, INDEX, WEIGHTS};
use crate::collect::text::TOKENIZER;
use crate::collect::weights::shards;
use crate::plan::{Checkpoint, ModelClass, is_commit};

/// Brought where the repository has them: what prepares inputs, and what generation goes by.
const OPTIONAL: [&str; 3] = [TOKENIZER, "preprocessor_config.json", "generation_config.json"];

/// Tries at a file, each going on where the last was broken off.
const TRIES: u32 = 3;

/// What a pull is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The hub is asked about a file.
    Asks(String),
    /// So many bytes of a file are here.
    Has {
        /// The file.
        file: String,
        /// Bytes here.
        bytes: u64,
        /// Bytes in all.
        of: u64,
    },
    /// A file that is here is read and hashed.
    Hashes(String),
}

impl Hub {
    /// Brings what a run needs of the checkpoint, and hashes it. Files that are in the cache are not asked for
    /// again. Blocks; `tell` is called from this thread.
    ///
    /// # Errors
    /// Names the file and what to do. What has come stays, unless its hash is wrong.
    pub fn pull(
        &self,
        class: ModelClass,
        checkpoint: &Checkpoint,
        tell: &dyn Fn(Told),
    ) -> Result<Pulled, HubError> {
        let api = self.api()?;
        let commit = self.commit(&api, checkpoint, tell)?;
        let at = repo(&checkpoint.repo, &commit);
        let cached = self.cache.repo(at.clone());
        let folder = cached.pointer_path(&commit);
        let mut pull =
            Pull { hub: self, checkpoint, repo: api.repo(at), api, cached, commit, tell, files: Vec::new() };
        pull.required(CONFIG, "")?;
        if !pull.bring(WEIGHTS)? {
            if !pull.bring(INDEX)? {
                return Err(pull.missing(WEIGHTS, ", nor shards: --repo names a repository that does"));
            }
            let fault = |reason: String| HubError::Answer { file: INDEX.to_owned(), reason };
            for shard in shards(class, &folder).map_err(|error| fault(error.to_string()))? {
                pull.required(&shard, ", which its own index names")?;
            }
        }
        for file in OPTIONAL {
            pull.bring(file)?;
        }
        if class.as_str() == "wav2vec2" {
            // Its letters; other classes' vocabularies are in their tokenizers.
            pull.bring(VOCABULARY)?;
        }
        let Pull { commit, files, .. } = pull;
        let Checkpoint { repo: name, revision, .. } = checkpoint.clone();
        let record = self.record(checkpoint, &commit);
        let pulled = Pulled { repo: name, revision, commit, folder, files };
        keep(&record, &pulled).map_err(|error| HubError::Io { path: record, error })?;
        Ok(pulled)
    }

    fn api(&self) -> Result<Api, HubError> {
        let builder = ApiBuilder::from_cache(self.cache.clone()).with_progress(false);
        let builder =
            builder.with_token(self.token.clone()).with_user_agent("webmatrix", env!("CARGO_PKG_VERSION"));
        let builder = match &self.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint.clone()),
            None => builder,
        };
        builder
            .build()
            .map_err(|error| HubError::Answer { file: CONFIG.to_owned(), reason: error.to_string() })
    }

    /// The commit that the revision stands for now; offline, that it stood for when it was pulled. All files are
    /// taken from this one commit, so that a branch that moves meanwhile mixes nothing.
    fn commit(&self, api: &Api, checkpoint: &Checkpoint, tell: &dyn Fn(Told)) -> Result<String, HubError> {
        let Checkpoint { repo: name, revision, .. } = checkpoint;
        if checkpoint.is_commit() {
            return Ok(revision.clone());
        }
        if self.offline {
            let folder = self.cached(checkpoint);
            let commit = folder.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
            let what = || format!("revision {revision} of {name}");
            return commit.map(str::to_owned).ok_or_else(|| HubError::Offline { what: what() });
        }
        tell(Told::Asks(CONFIG.to_owned()));
        let at = repo(name, revision);
        let found = persist(|| api.metadata(&api.repo(at.clone()).url(CONFIG)));
        let hint = ", or there is no such revision";
        let missing = || missing(checkpoint, CONFIG, hint);
        let commit = found.map_err(|error| of_api(checkpoint, CONFIG, &error).unwrap_or_else(missing))?;
        let commit = commit.commit_hash().to_owned();
        if !is_commit(&commit) {
            let reason = format!("{commit:?} is no commit");
            return Err(HubError::Answer { file: CONFIG.to_owned(), reason });
        }
        let ours = self.cache.repo(at);
        ours.create_ref(&commit).map_err(|error| HubError::Io { path: self.cache.path().clone(), error })?;
        Ok(commit)
    }
}

/// A checkpoint on its way.
struct Pull<'a> {
    hub: &'a Hub,
    checkpoint: &'a Checkpoint,
    api: Api,
    repo: ApiRepo,
    cached: CacheRepo,
    commit: String,
    tell: &'a dyn Fn(Told),
    files: Vec<PulledFile>,
}

impl Pull<'_> {
    fn missing(&self, file: &str, hint: &'static str) -> HubError {
        if self.hub.offline {
            return HubError::Offline { what: format!("{file} of {}", self.checkpoint.repo) };
        }
        missing(self.checkpoint, file, hint)
    }

    fn required(&mut self, file: &str, hint: &'static str) -> Result<(), HubError> {
        if self.bring(file)? { Ok(()) } else { Err(self.missing(file, hint)) }
    }

    /// Brings a file and hashes it; false if the repository has none of that name.
    fn bring(&mut self, file: &str) -> Result<bool, HubError> {
        let path = self.cached.pointer_path(&self.commit).join(file);
        if !path.is_file() {
            // What cannot be asked for counts as not there; who needs it says so.
            if self.hub.offline || !self.download(file)? {
                return Ok(false);
            }
        }
        self.hash(file, &path).map(|()| true)
    }

    fn download(&self, file: &str) -> Result<bool, HubError> {
        (self.tell)(Told::Asks(file.to_owned()));
        let fault = |reason: String| HubError::Answer { file: file.to_owned(), reason };
        let answer = persist(|| self.api.metadata(&self.repo.url(file)));
        let facts: Metadata = match answer {
            Ok(facts) => facts,
            Err(error) => return of_api(self.checkpoint, file, &error).map_or(Ok(false), Err),
        };
        if facts.commit_hash() != self.commit {
            return Err(fault(format!("it is of commit {}, not of {}", facts.commit_hash(), self.commit)));
        }
        // The etag becomes a file name.
        if facts.etag().is_empty() || !facts.etag().chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(fault(format!("{:?} cannot be an etag", facts.etag())));
        }
        let blob = self.cached.blob_path(facts.etag());
        let part = blob.with_extension("part");
        persist(|| {
            // A part with nothing left to ask for cannot be gone on with.
            if fs::metadata(&part).is_ok_and(|part| part.len() >= facts.size() as u64) {
                fs::remove_file(&part)?;
            }
            let meter = Meter { file, tell: self.tell, bytes: 0, of: 0 };
            self.repo.download_with_progress(file, meter)
        })
        .map_err(|error| {
            of_api(self.checkpoint, file, &error)
                .unwrap_or_else(|| self.missing(file, ", though it was announced"))
        })?;
        let bytes = fs::metadata(&blob).map_err(|error| HubError::Io { path: blob.clone(), error })?.len();
        if bytes != facts.size() as u64 {
            self.discard(file);
            return Err(fault(format!("{bytes} bytes came where {} were announced", facts.size())));
        }
        Ok(true)
    }

    /// Hashes a file that is here. A wrong one is deleted, so that nobody takes it for right.
    fn hash(&mut self, file: &str, path: &Path) -> Result<(), HubError> {
        (self.tell)(Told::Hashes(file.to_owned()));
        let io = |error| HubError::Io { path: path.to_owned(), error };
        let (bytes, sha256) = sha256(path, || (self.tell)(Told::Hashes(file.to_owned()))).map_err(io)?;
        // Large files are kept under their own hash.
        let blob = fs::canonicalize(path).map_err(io)?;
        let own = blob.file_name().and_then(|name| name.to_str()).filter(|name| name.len() == 64);
        let pinned = self.checkpoint.sha256.get(file).map(String::as_str);
        let whose = [(pinned, Check::Pin, "the pin says"), (own, Check::Hub, "the hub says")];
        for (expected, _, whose) in whose {
            if let Some(expected) = expected.filter(|expected| *expected != sha256) {
                let expected = expected.to_owned();
                self.discard(file);
                return Err(HubError::Hash { file: file.to_owned(), expected, got: sha256, whose });
            }
        }
        let check =
            whose.iter().find(|(hash, ..)| hash.is_some()).map_or(Check::Nothing, |(_, check, _)| *check);
        self.files.push(PulledFile { name: file.to_owned(), bytes, sha256, check });
        Ok(())
    }

    fn discard(&self, file: &str) {
        let path = self.cached.pointer_path(&self.commit).join(file);
        let blob = fs::canonicalize(&path);
        for path in [Some(path), blob.ok()].into_iter().flatten() {
            fs::remove_file(path).ok();
        }
    }
}

fn missing(checkpoint: &Checkpoint, file: &str, hint: &'static str) -> HubError {
    let Checkpoint { repo, revision, .. } = checkpoint.clone();
    HubError::Missing { repo, revision, file: file.to_owned(), hint }
}

/// Tries again what may go better, at once: waiting is for people, who see why.
fn persist<T>(mut attempt: impl FnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut outcome = attempt();
    for _ in 1..TRIES {
        match &outcome {
            Err(error) if is_passing(error) => outcome = attempt(),
            _ => break,
        }
    }
    outcome
}

/// What the hub's refusal means; none if the file is not there.
fn of_api(checkpoint: &Checkpoint, file: &str, error: &ApiError) -> Option<HubError> {
    match status(error) {
        Some(404) => None,
        Some(status @ (401 | 403)) => Some(HubError::Denied { repo: checkpoint.repo.clone(), status }),
        _ if is_passing(error) => {
            Some(HubError::Unreachable { file: file.to_owned(), reason: error.to_string() })
        }
        _ => Some(HubError::Answer { file: file.to_owned(), reason: error.to_string() }),
    }
}

/// Size and hash of a file; `still` is called now and then.
fn sha256(path: &Path, still: impl Fn()) -> std::io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((bytes, hex::encode(hasher.finalize()))),
            read => {
                hasher.update(&piece[..read]);
                bytes += read as u64;
                still();
            }
        }
    }
}

fn keep(path: &Path, pulled: &Pulled) -> std::io::Result<()> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer_pretty(&mut file, pulled)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Takes down how far a download is.
struct Meter<'a> {
    file: &'a str,
    tell: &'a dyn Fn(Told),
    bytes: u64,
    of: u64,
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.bytes, self.of) = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.bytes += size as u64;
        (self.tell)(Told::Has { file: self.file.to_owned(), bytes: self.bytes, of: self.of });
    }

    fn finish(&mut self) {}
}
