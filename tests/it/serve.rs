//! `webmatrix serve`: a dashboard beside runs of other processes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{code, folder, stderr, webmatrix};
use crate::html::behind;

const RUN: [&str; 8] =
    ["run", "--quiet", "--browsers", "native", "--backends", "native-cpu", "--models", "bert"];

/// A dashboard at work; killed if a test fails.
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
    }
}

pub(crate) fn serve(folder: &Path) -> Serving {
    serving(folder, &["serve", "--port", "0"])
}

/// A command whose first line is where its dashboard is.
fn serving(folder: &Path, arguments: &[&str]) -> Serving {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    command.args(arguments).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}"));
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap_or_else(|| panic!("no output"));
    BufReader::new(stdout).read_line(&mut line).unwrap_or_else(|error| panic!("{error}"));
    assert!(line.starts_with("http://127.0.0.1:"), "{line}");
    Serving { child, url: line.trim().to_owned() }
}

fn get(url: &str) -> String {
    let answer = ureq::get(url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
    let mut text = String::new();
    answer.into_body().into_reader().read_to_string(&mut text).unwrap_or_else(|error| panic!("{error}"));
    text
}

/// What is told, one after another.
fn events(url: &str) -> impl Iterator<Item = Value> + use<> {
    let answer = ureq::get(format!("{url}events")).call().unwrap_or_else(|error| panic!("{error}"));
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
}

#[test]
fn a_dashboard_follows_a_run_and_hinders_none() {
    let folder = folder();
    let serving = serve(folder.path());
    assert!(get(&serving.url).contains("No run yet"));
    let mut told = events(&serving.url);
    let first = told.next().unwrap_or_default();
    assert_eq!((&first["run"], &first["cells"]), (&Value::Null, &0.into()), "{first}");
    // Two runs into the database beside which it stands: each begins although somebody reads.
    for samples in ["1", "2"] {
        let output = webmatrix(folder.path(), &[&RUN[..], &["--samples", samples]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let begun = Instant::now();
    let last = told.find(|told| told["running"] == false && told["run"] != Value::Null);
    let last = last.unwrap_or_else(|| panic!("nothing was told of the end"));
    assert!(last["decided"] == last["cells"] && last["cells"].as_u64() > Some(0), "{last}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let page = get(&serving.url);
    assert!(
        page.contains("connect-src 'self'") && behind(&page).contains("pytorch-golden"),
        "the run is in the page"
    );
    // It is for reading, by its own name.
    let foreign = ureq::get(&serving.url).header("host", "evil.example").call();
    assert!(matches!(foreign, Err(ureq::Error::StatusCode(403))), "{foreign:?}");
    let written = ureq::post(&serving.url).send("x");
    assert!(matches!(written, Err(ureq::Error::StatusCode(405))), "{written:?}");
}

/// Waits for its own end.
fn ended(serving: &mut Serving) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = serving.child.try_wait().unwrap_or_else(|error| panic!("{error}")) {
            return status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Cells with a second between them, so that there is something to see in between.
const SLOW: [&str; 14] = [
    "run",
    "--quiet",
    "--serve",
    "--cool-down",
    "1",
    "--browsers",
    "native",
    "--backends",
    "native-cpu",
    "--samples",
    "2",
    "--models",
    "bert",
    "vit",
];

#[test]
fn a_run_shows_itself_while_it_goes_on_and_ends_with_its_dashboard() {
    let folder = folder();
    let mut serving = serving(folder.path(), &[&SLOW[..], &["t5"]].concat());
    let told: Vec<Value> = events(&serving.url)
        .inspect(|told| {
            // Whoever is told gets the page that it is about, while cells are still being run.
            let page = get(&serving.url);
            assert!(page.contains("<body data-live>"), "{told}: {}", page.len());
        })
        .collect();
    assert_eq!(ended(&mut serving), Some(0));
    let counts: Vec<(Option<bool>, Option<u64>)> =
        told.iter().map(|told| (told["running"].as_bool(), told["decided"].as_u64())).collect();
    // It began with nothing, was seen half way, and told its end.
    assert_eq!(counts.first(), Some(&(Some(true), Some(0))), "{told:#?}");
    assert!(counts.contains(&(Some(true), Some(1))) || counts.contains(&(Some(true), Some(2))), "{told:#?}");
    assert_eq!(counts.last(), Some(&(Some(false), Some(3))), "{told:#?}");
    let runs: std::collections::BTreeSet<String> = told.iter().map(|told| told["run"].to_string()).collect();
    assert_eq!(runs.len(), 1, "{told:#?}");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_kept_is_shown_until_it_is_stopped() {
    let folder = folder();
    let run = [&SLOW[..3], &SLOW[5..], &["--keep"]].concat();
    let mut serving = serving(folder.path(), &run);
    let last = events(&serving.url).find(|told| told["running"] == false);
    assert!(last.is_some_and(|last| last["decided"] == 2));
    std::thread::sleep(Duration::from_secs(3));
    assert!(behind(&get(&serving.url)).contains("pytorch-golden"), "it is shown after its end");
    let pid = rustix::process::Pid::from_child(&serving.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended(&mut serving), Some(0), "it exits as the run ended");
}

#[test]
fn a_dashboard_that_cannot_listen_begins_no_run() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    let address = taken.local_addr().unwrap_or_else(|error| panic!("{error}")).to_string();
    let output = webmatrix(folder.path(), &[&RUN[..], &["--serve", &address]].concat());
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("cannot listen at {address}")), "{}", stderr(&output));
    assert!(!folder.path().join("webmatrix-out/journal").exists());
}

#[test]
fn what_is_stored_is_shown_without_being_touched() {
    let folder = folder();
    let output = webmatrix(folder.path(), &[&RUN[..], &["--samples", "1"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let file = folder.path().join("webmatrix-out/webmatrix.duckdb");
    let before = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}"));
    // Without journals the database alone is what there is; with a database that is none, the journals are.
    let journal = folder.path().join("webmatrix-out/journal");
    let aside = folder.path().join("aside");
    std::fs::rename(&journal, &aside).unwrap_or_else(|error| panic!("{error}"));
    let serving = serve(folder.path());
    assert!(behind(&get(&serving.url)).contains("pytorch-golden"));
    drop(serving);
    assert!(before == std::fs::read(&file).unwrap_or_default(), "the database was changed");
    std::fs::rename(&aside, &journal).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(&file, &before[..before.len() / 2]).unwrap_or_else(|error| panic!("{error}"));
    let serving = serve(folder.path());
    assert!(behind(&get(&serving.url)).contains("pytorch-golden"), "a torn database hides the journals");
}

#[cfg(unix)]
#[test]
fn it_ends_when_it_is_told_to() {
    let folder = folder();
    let mut serving = serve(folder.path());
    let mut told = events(&serving.url);
    assert!(told.next().is_some());
    let pid = rustix::process::Pid::from_child(&serving.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let begun = Instant::now();
    assert_eq!(ended(&mut serving), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "it goes on with a reader attached");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    let port = taken.local_addr().unwrap_or_else(|error| panic!("{error}")).port().to_string();
    let output = webmatrix(folder.path(), &["serve", "--port", &port]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot listen at 127.0.0.1:"), "{}", stderr(&output));
}
