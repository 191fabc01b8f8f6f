//! What the cache says of a checkpoint, without a hub. Pulls are tested with one, in `tests/it/hub.rs`.

use std::fs;
use std::path::Path;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn hub(folder: &Path) -> Hub {
    Hub { cache: Cache::new(folder.to_owned()), endpoint: None, token: None, offline: true }
}

fn bert() -> ModelClass {
    "bert".parse().unwrap_or_else(|error| panic!("{error}"))
}

fn checkpoint(revision: &str) -> Checkpoint {
    let pin = Checkpoint::pinned(bert()).unwrap_or_else(|error| panic!("{error}"));
    pin.or(Some("me/mine".into()), Some(revision.into())).unwrap_or_else(|error| panic!("{error}"))
}

/// A cache with one file at [`COMMIT`], which `main` stands for, as Hugging Face's tools leave it.
fn cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let at = cache.path().join("models--me--mine");
    for (file, text) in [
        (format!("snapshots/{COMMIT}/config.json"), "{}"),
        (format!("snapshots/{COMMIT}/model.safetensors"), "weights"),
        ("refs/main".to_owned(), COMMIT),
    ] {
        let path = at.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&at)).unwrap_or_else(|error| panic!("{error}"));
        fs::write(path, text).unwrap_or_else(|error| panic!("{error}"));
    }
    cache
}

#[test]
fn a_snapshot_counts_once_it_was_hashed_and_as_long_as_it_stays() {
    let cache = cache();
    let hub = hub(cache.path());
    for revision in ["main", COMMIT] {
        let error = hub.snapshot(bert(), &checkpoint(revision)).err().map(|error| error.to_string());
        let says = "weights of bert: me/mine is not pulled: type `webmatrix models pull bert`";
        assert_eq!(error.as_deref(), Some(says), "{revision}");
    }
    let pulled = hub.pull(bert(), &checkpoint("main"), &|_| ()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pulled.commit, COMMIT);
    let names: Vec<_> = pulled.files.iter().map(|file| (file.name.as_str(), file.check)).collect();
    assert_eq!(names, [("config.json", Check::Nothing), ("model.safetensors", Check::Nothing)]);
    for revision in ["main", COMMIT] {
        let folder = hub.snapshot(bert(), &checkpoint(revision)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(folder, pulled.folder, "{revision}");
    }
    fs::write(pulled.folder.join("model.safetensors"), "cut").unwrap_or_else(|error| panic!("{error}"));
    let error = hub.snapshot(bert(), &checkpoint("main"));
    assert!(matches!(error, Err(HubError::Changed { .. })), "{error:?}");
}

#[test]
fn a_wrong_hash_deletes_the_file() {
    let cache = cache();
    let mut wanted = checkpoint(COMMIT);
    wanted.sha256.insert("model.safetensors".into(), "0".repeat(64));
    let error = hub(cache.path()).pull(bert(), &wanted, &|_| ());
    assert!(matches!(&error, Err(HubError::Hash { file, .. }) if file == "model.safetensors"), "{error:?}");
    let file = cache.path().join(format!("models--me--mine/snapshots/{COMMIT}/model.safetensors"));
    assert!(!file.exists());
}

#[test]
fn offline_says_what_is_missing() {
    let cache = cache();
    let hub = hub(cache.path());
    let error =
        |revision: &str| hub.pull(bert(), &checkpoint(revision), &|_| ()).err().map(|e| e.to_string());
    let says = "revision other of me/mine is not in the cache, and HF_HUB_OFFLINE forbids to ask for it";
    assert_eq!(error("other").as_deref(), Some(says));
    let weights = cache.path().join(format!("models--me--mine/snapshots/{COMMIT}/model.safetensors"));
    fs::remove_file(weights).unwrap_or_else(|error| panic!("{error}"));
    let says = "model.safetensors of me/mine is not in the cache, and HF_HUB_OFFLINE forbids to ask for it";
    assert_eq!(error("main").as_deref(), Some(says));
}
