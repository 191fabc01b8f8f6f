//! `webmatrix models pull` against a server that speaks the hub's layout, and runs of what it brought.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::command::{code, folder, stderr, stdout};
use crate::fake::golden;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Of the pin of BERT.
const PINNED: &str = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41";
/// Bytes that come of a file before the connection is cut.
const PIECE: usize = 1000;

/// What the server has, and how it misbehaves.
#[derive(Debug)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    commit: &'static str,
    token: Option<&'static str>,
    /// How many bodies of weights are still to be cut.
    cuts: Mutex<u32>,
    /// Headers are followed by nothing.
    hangs: bool,
    /// Requests of more than one byte: path and range.
    log: Mutex<Vec<String>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            commit: COMMIT,
            token: None,
            cuts: Mutex::new(0),
            hangs: false,
            log: Mutex::default(),
        }
    }
}

struct Server {
    endpoint: String,
    state: Arc<State>,
}

impl Server {
    fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
        let state = Arc::new(state);
        let endpoint = format!("http://{address}");
        let shared = (endpoint.clone(), Arc::clone(&state));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (endpoint, state) = shared.clone();
                std::thread::spawn(move || answer(&stream, &endpoint, &state));
            }
        });
        Self { endpoint, state }
    }

    /// Files as the golden of a class has them.
    fn of_golden(class: &str) -> State {
        let file = |name: &str| (name.to_owned(), golden(class, name));
        State { files: BTreeMap::from([file("config.json"), file("model.safetensors")]), ..State::default() }
    }

    fn log(&self) -> Vec<String> {
        self.state.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the program with this hub and a home in `home`.
    fn run(&self, home: &Path, arguments: &[&str], further: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
        command.args(arguments).current_dir(home).env("WEBMATRIX_CONFIG_DIR", home.join("config"));
        for name in [
            "HF_TOKEN",
            "HF_HUB_OFFLINE",
            "HF_HUB_CACHE",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(name);
        }
        command
            .env("HF_HOME", home.join("hf"))
            .env("HF_ENDPOINT", &self.endpoint)
            .envs(further.iter().copied());
        command.output().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Answers requests as the hub does: small files itself, large ones from elsewhere, under their hash.
fn answer(stream: &TcpStream, endpoint: &str, state: &State) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        let mut headers = BTreeMap::new();
        loop {
            let line = lines.next()?.ok()?;
            match line.split_once(':') {
                Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut words = request.split(' ');
        let (is_head, path) = (words.next()? == "HEAD", words.next()?.to_owned());
        let range = headers.get("range").cloned().unwrap_or_default();
        if range != "bytes=0-0" {
            state.log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{path} {range}"));
        }
        let denied =
            state.token.is_some_and(|token| headers.get("authorization") != Some(&format!("Bearer {token}")));
        let (status, mut head, body) = if denied && !path.starts_with("/cdn/") {
            ("401 Unauthorized", "X-Error-Code: RepoNotFound\r\n".to_owned(), Vec::new())
        } else {
            resource(&path, endpoint, state)
        };
        let (mut status, mut body) = (status.to_owned(), body);
        if let (Some(span), "200 OK") = (range.strip_prefix("bytes="), status.as_str()) {
            let (from, to) = span.split_once('-')?;
            let from: usize = from.parse().ok()?;
            let to = to.parse().map_or(body.len(), |to: usize| to + 1).min(body.len());
            if from >= to {
                (status, body) = ("416 Range Not Satisfiable".to_owned(), Vec::new());
            } else {
                head.push_str(&format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, body.len()));
                (status, body) = ("206 Partial Content".to_owned(), body[from..to].to_vec());
            }
        }
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n", body.len()).ok()?;
        if is_head {
            continue;
        }
        let mut cuts = state.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if body.len() > PIECE && *cuts > 0 {
            *cuts -= 1;
            stream.write_all(&body[..PIECE]).ok()?;
            stream.shutdown(std::net::Shutdown::Both).ok()?;
            return None;
        }
        drop(cuts);
        if state.hangs && body.len() > PIECE {
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        stream.write_all(&body).ok()?;
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Status, headers and the whole body of what lies at a path.
fn resource(path: &str, endpoint: &str, state: &State) -> (&'static str, String, Vec<u8>) {
    const ABSENT: (&str, String, Vec<u8>) = ("404 Not Found", String::new(), Vec::new());
    if let Some(hash) = path.strip_prefix("/cdn/") {
        let body = state.files.values().find(|bytes| sha256(bytes) == hash);
        return body.map_or(ABSENT, |body| ("200 OK", format!("ETag: \"{hash}\"\r\n"), body.clone()));
    }
    let Some((_, rest)) = path.split_once("/resolve/") else { return ABSENT };
    let Some((revision, name)) = rest.split_once('/') else { return ABSENT };
    let Some(body) = state.files.get(name).filter(|_| ["main", state.commit].contains(&revision)) else {
        return ABSENT;
    };
    let (hash, commit) = (sha256(body), state.commit);
    if name.ends_with(".safetensors") {
        let head = format!(
            "X-Repo-Commit: {commit}\r\nX-Linked-Etag: \"{hash}\"\r\nX-Linked-Size: {}\r\nLocation: {endpoint}/cdn/{hash}\r\n",
            body.len()
        );
        return ("302 Found", head, Vec::new());
    }
    // Small files are kept under a hash of 40 digits.
    ("200 OK", format!("X-Repo-Commit: {commit}\r\nETag: \"{}\"\r\n", &hash[..40]), body.clone())
}

const MINE: [&str; 6] = ["models", "pull", "bert", "--repo", "me/mine", "--quiet"];

fn pulled(output: &Output) -> PathBuf {
    assert_eq!(code(output), 0, "{}", stderr(output));
    PathBuf::from(stdout(output).trim())
}

#[test]
fn a_pull_brings_what_a_run_needs() {
    let mut state = Server::of_golden("bert");
    state.files.insert("generation_config.json".into(), b"{}".to_vec());
    state.files.insert("pytorch_model.bin".into(), b"never asked for".to_vec());
    let (server, home) = (Server::start(state), folder());
    let dir = pulled(&server.run(home.path(), &MINE, &[]));
    assert_eq!(dir, home.path().join(format!("hf/hub/models--me--mine/snapshots/{COMMIT}")));
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{error}"))
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "generation_config.json", "model.safetensors"]);
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    assert!(weights == golden("bert", "model.safetensors"));

    // A second pull asks for the commit, hashes, and downloads only what was not there the first time.
    let asked = server.log().len();
    let output = server.run(home.path(), &[&MINE[..5], &["--format", "json"]].concat(), &[]);
    let said: Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(server.log().len(), asked, "{:?}", server.log());
    assert_eq!((&said["commit"], &said["revision"]), (&COMMIT.into(), &"main".into()));
    let checks: Vec<_> = said["files"].as_array().into_iter().flatten().map(|file| &file["check"]).collect();
    assert_eq!(checks, ["nothing", "hub", "nothing"]);
    assert_eq!(said["files"][1]["sha256"], sha256(&weights));

    // The folder runs, and offline it pulls as well as ever.
    let dir = dir.display().to_string();
    let weights = format!("bert={dir}");
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--samples", "1"];
    let output = server.run(home.path(), &[&run[..], &["--weights", &weights]].concat(), &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output =
        server.run(home.path(), &MINE, &[("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert_eq!(pulled(&output).display().to_string(), dir);
}

#[test]
fn a_pull_goes_on_where_it_was_broken_off() {
    let state = State { cuts: Mutex::new(4), ..Server::of_golden("bert") };
    let (server, home) = (Server::start(state), folder());
    let output = server.run(home.path(), &MINE, &[]);
    // Three tries, all of them cut.
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("model.safetensors"), "{}", stderr(&output));
    assert!(stderr(&output).contains("what has come is kept"), "{}", stderr(&output));
    let dir = pulled(&server.run(home.path(), &MINE, &[]));
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    assert!(weights == golden("bert", "model.safetensors"));
    let log = server.log();
    let ranges: Vec<&str> = log
        .iter()
        .filter(|line| line.starts_with("/cdn/"))
        .filter_map(|line| line.split_once(' ').map(|(_, range)| range))
        .collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=1000-", "bytes=2000-", "bytes=3000-", "bytes=4000-"]);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused_and_deleted() {
    let state = State { commit: PINNED, ..Server::of_golden("bert") };
    let (server, home) = (Server::start(state), folder());
    let output = server.run(home.path(), &["models", "pull", "bert"], &[]);
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    let says = format!(
        "config.json: sha256 is {}, where the pin says 953f9c0d",
        sha256(&golden("bert", "config.json"))
    );
    assert!(stderr(&output).contains(&says), "{}", stderr(&output));
    let snapshots = home.path().join("hf/hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots");
    assert!(!snapshots.join(PINNED).join("config.json").exists());
    let run = ["run", "--browsers", "native", "--models", "bert", "--weights", "hub"];
    let output = server.run(home.path(), &run, &[]);
    assert_eq!(code(&output), 65);
    assert!(stderr(&output).contains("type `webmatrix models pull bert`"), "{}", stderr(&output));
}

#[test]
fn what_the_hub_refuses_or_lacks_is_told_apart() {
    let token = State { token: Some("secret"), ..Server::of_golden("bert") };
    let (server, home) = (Server::start(token), folder());
    let output = server.run(home.path(), &MINE, &[]);
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("me/mine: the hub refuses (401)"), "{}", stderr(&output));
    assert!(stderr(&output).contains("set HF_TOKEN"), "{}", stderr(&output));
    let output = server.run(home.path(), &MINE, &[("HF_TOKEN", "secret")]);
    pulled(&output);

    let without = |name: &str| {
        let mut state = Server::of_golden("bert");
        state.files.remove(name);
        let (server, home) = (Server::start(state), folder());
        let output = server.run(home.path(), &MINE, &[]);
        format!("{} {}", code(&output), stderr(&output).trim())
    };
    let said = [without("config.json"), without("model.safetensors")].join("\n");
    insta::assert_snapshot!(said, @r"
    65 error: me/mine holds no config.json at revision main, or there is no such revision
    65 error: me/mine holds no model.safetensors at revision main, nor shards: --repo names a repository that does
    ");
    let output = server.run(
        home.path(),
        &["models", "pull", "bert@nowhere", "--repo", "me/mine"],
        &[("HF_TOKEN", "secret")],
    );
    assert_eq!(code(&output), 65);
    assert!(stderr(&output).contains("at revision nowhere"), "{}", stderr(&output));
    for (arguments, says) in
        [(["models", "pull", "bird"], "unknown model"), (["models", "pull", "bert@../x"], "is no revision")]
    {
        let output = server.run(home.path(), &arguments, &[]);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
    // Nobody listens there.
    let output = server.run(folder().path(), &MINE, &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    let output = server.run(folder().path(), &MINE, &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("HF_HUB_OFFLINE forbids"), "{}", stderr(&output));
}

#[test]
fn a_silent_hub_is_not_waited_for_for_ever() {
    let state = State { hangs: true, ..Server::of_golden("bert") };
    let (server, home) = (Server::start(state), folder());
    let output = server.run(home.path(), &[&MINE[..], &["--deadline", "1"]].concat(), &[]);
    assert_eq!(code(&output), 69);
    assert!(
        stderr(&output).contains("model.safetensors: the hub has been silent for 1 s"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn shards_come_by_their_index() {
    let index = |shards: [&str; 2]| {
        let map = serde_json::json!({"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}});
        map.to_string().into_bytes()
    };
    let [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let files = |shards| {
        BTreeMap::from([
            ("config.json".to_owned(), golden("bert", "config.json")),
            ("model.safetensors.index.json".to_owned(), index(shards)),
            (first.to_owned(), b"one".to_vec()),
            (second.to_owned(), b"two".to_vec()),
        ])
    };
    let (server, home) =
        (Server::start(State { files: files([first, second]), ..State::default() }), folder());
    let dir = pulled(&server.run(home.path(), &MINE, &[]));
    assert!(dir.join(first).is_file() && dir.join(second).is_file());
    for (shard, says) in [
        ("gone.safetensors", "me/mine holds no gone.safetensors at revision main, which its own index names"),
        ("../outside.safetensors", "is not a plain file name"),
    ] {
        let (server, home) =
            (Server::start(State { files: files([first, shard]), ..State::default() }), folder());
        let output = server.run(home.path(), &MINE, &[]);
        assert_eq!(code(&output), 65, "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn pulled_weights_run_on_sentences() {
    let mut state = Server::of_golden("clip");
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "guitar": 1, "bank": 2}, "unk_token": "[UNK]"},
    });
    state.files.insert("tokenizer.json".into(), tokenizer.to_string().into_bytes());
    let (server, home) = (Server::start(state), folder());
    let output = server.run(home.path(), &["models", "pull", "clip"], &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains(&format!("at commit {COMMIT}")) && text.contains("main is not pinned"), "{text}");
    assert!(text.contains("run it: webmatrix run --models clip --weights hub"), "{text}");
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "clip", "--samples", "1"];
    let output =
        server.run(home.path(), &[&run[..], &["--weights", "hub", "--format", "json"]].concat(), &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let decided = stdout(&output);
    let cell = "\"cell\":\"native/clip@own/webmatrix/native-cpu/fp32/default\"";
    let line = decided.lines().find(|line| line.contains("cell_decided") && line.contains(cell));
    assert!(line.is_some_and(|line| line.contains("\"status\":\"pass\"")), "{decided}");
    let output = server.run(home.path(), &[&run[..], &["--weights", "hub", "twin"]].concat(), &[]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}
