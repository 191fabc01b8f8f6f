//! `webmatrix gate` over runs that are stored: a real one of the host, and copies of it whose times and verdicts are made up.

use std::path::Path;

use serde_json::Value;
use webmatrix::collect::{self, Entry, Record};
use webmatrix::store::Database;
use webmatrix_wire::{Message, Status};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;

const CELL: &str = "native/bert@tiny/webmatrix/native-cpu/fp32/default";

/// The journal of a run of one cell.
fn real_run(place: &Path, browser: &str, backend: &str) -> Vec<Entry> {
    let run = [
        "run",
        "--browsers",
        browser,
        "--models",
        "bert",
        "--backends",
        backend,
        "--samples",
        "6",
        "--quiet",
    ];
    let output = webmatrix(place, &run);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let out = place.join("webmatrix-out");
    let run = collect::runs(&out).into_iter().next().unwrap_or_else(|| panic!("a run"));
    collect::read(&out, &run).unwrap_or_else(|error| panic!("{error}"))
}

/// The id of a copy: it sorts before the real one, and in the order of numbers.
fn id_of(real: &str, number: usize) -> String {
    format!("{}00{number:02}", &real[..real.len() - 4])
}

/// The same run once more, as the `number`th, with these times in milliseconds and this status.
fn copied(entries: &[Entry], number: usize, ms: f64, status: Status) -> Vec<Entry> {
    let old = &entries[0].run;
    let new = id_of(old, number);
    let text = serde_json::to_string(entries).unwrap_or_else(|error| panic!("{error}"));
    let attempts: Vec<String> = entries
        .iter()
        .filter_map(|entry| match &entry.record {
            Record::AttemptStarted(started) => Some(started.attempt.0.clone()),
            _ => None,
        })
        .collect();
    let text = attempts.iter().fold(text.replace(old.as_str(), &new), |text, attempt| {
        text.replace(attempt.as_str(), &id_of(attempt, number))
    });
    let mut copied: Vec<Entry> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    for entry in &mut copied {
        match &mut entry.record {
            Record::Received { envelope, .. } => {
                if let Message::Sample(sample) = &mut envelope.message {
                    sample.ms = ms * (1.0 + 0.001 * f64::from(sample.index));
                }
            }
            // Browsers that are not here stay so.
            Record::CellDecided(decided) if decided.verdict.status == Status::Pass => {
                decided.verdict.status = status;
            }
            Record::AttemptEnded(ended) => {
                if let Some(verdict) = &mut ended.verdict {
                    verdict.status = status;
                }
            }
            _ => {}
        }
    }
    copied
}

fn store(place: &Path, runs: &[Vec<Entry>]) {
    let database = Database::open(&place.join("webmatrix-out/webmatrix.duckdb"));
    let database = database.unwrap_or_else(|error| panic!("{error}"));
    for run in runs {
        database.apply(run).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What the last of the runs that tried a run's alarms again took, in milliseconds, and how many there were.
fn last_fresh(place: &Path, run: &str) -> (f64, usize) {
    let database = Database::open_read_only(&place.join("webmatrix-out/webmatrix.duckdb"));
    let database = database.unwrap_or_else(|error| panic!("{error}"));
    let fresh = database.confirmations(run).unwrap_or_else(|error| panic!("{error}"));
    let last = fresh.last().unwrap_or_else(|| panic!("{run} was tried again"));
    let figures = database.figures(last).unwrap_or_else(|error| panic!("{error}"));
    let latency = figures.iter().find(|figure| figure.metric == "latency");
    (latency.unwrap_or_else(|| panic!("it was timed")).value, fresh.len())
}

/// The run's id, the exit code, and what was said.
fn gate(place: &Path, further: &[&str]) -> (i32, Value, String) {
    let output = webmatrix(place, &[&["gate", "--quiet", "--format", "json"], further].concat());
    let told = serde_json::from_str(&stdout(&output)).unwrap_or(Value::Null);
    (code(&output), told, stderr(&output))
}

/// Rules under which compiling, which really differs, is not looked at.
const RULES: &str =
    "false_share = 0.05\nhistory = 20\n[metrics.latency]\nworse = \"up\"\nchange = 0.1\nrun_noise = 0.05\n";

/// Six runs about so long, the last of them twice as long.
fn slowed_once(real: &[Entry], numbers: std::ops::RangeInclusive<usize>, ms: f64) -> Vec<Vec<Entry>> {
    let last = *numbers.end();
    let of = |number: usize| {
        let ms = if number == last { 2.0 * ms } else { ms * (1.0 + 0.001 * number as f64) };
        copied(real, number, ms, Status::Pass)
    };
    numbers.map(of).collect()
}

#[test]
fn an_alarm_is_one_only_after_it_was_seen_again() {
    let place = folder();
    let place = place.path();
    let real = real_run(place, "native", "native-cpu");
    std::fs::write(place.join("rules.toml"), RULES).unwrap_or_else(|error| panic!("{error}"));
    let id = |number: usize| id_of(&real[0].run, number);

    // Slow ones that were twice as slow once: the host, run again, is much faster.
    store(place, &slowed_once(&real, 1..=6, 1.0e6));
    let args = |run: &str, baseline: &str| {
        ["--rules", "rules.toml", "--run", run, "--baseline", baseline].map(str::to_owned).to_vec()
    };
    let run = |args: &[String], further: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).chain(further.iter().copied()).collect();
        gate(place, &args)
    };
    let (exit, told, says) = run(&args(&id(6), &id(5)), &["--no-confirm"]);
    assert_eq!((exit, &told["figures"][0]["conclusion"]), (0, &"regression".into()), "{says} {told:#}");
    assert_eq!(
        (&told["not_tried"], &told["figures"][0]["confirmed"]),
        (&"--no-confirm".into(), &"not_tried".into())
    );
    let (exit, told, says) = run(&args(&id(6), "previous"), &[]);
    assert_eq!((exit, &told["figures"][0]["confirmed"]), (0, &"no".into()), "{says} {told:#}");
    assert_eq!(told["baseline"]["run"], id(5));
    assert_eq!(last_fresh(place, &id(6)).1, 1, "what is not seen again is not tried a third time");

    // Fast ones beside which the host really is slower.
    store(place, &slowed_once(&real, 11..=16, 1.0e-6));
    let (exit, told, says) = run(&args(&id(16), &id(15)), &[]);
    assert_eq!((exit, &told["figures"][0]["confirmed"]), (1, &"yes".into()), "{says} {told:#}");

    // As it was: nothing. And it was where the fresh browsers put it.
    let (fresh, tries) = last_fresh(place, &id(16));
    assert_eq!(tries, 2);
    store(place, &[copied(&real, 17, fresh, Status::Pass)]);
    let (exit, told, says) = run(&args(&id(17), &id(16)), &[]);
    assert_eq!((exit, &told["figures"][0]["conclusion"]), (0, &"unchanged".into()), "{says} {told:#}");

    // What failed then passes now, in a fresh browser; and nobody tries it again.
    store(place, &[copied(&real, 18, 2.0e-6, Status::Crash)]);
    let (exit, told, says) = run(&args(&id(18), &id(17)), &[]);
    assert_eq!((exit, &told["statuses"][0]["confirmed"]), (0, &"no".into()), "{says} {told:#}");
    let (exit, told, _) = run(&args(&id(18), &id(17)), &["--no-confirm"]);
    assert_eq!((exit, &told["statuses"][0]["meaning"]), (1, &"regression".into()), "{told:#}");

    // Known until a day, and then no longer; either way the one cell does not pass, and nothing was shown.
    let known =
        |until: &str| format!("[[failure]]\ncells = \"native/*\"\nreason = \"bug 1\"\nuntil = \"{until}\"\n");
    for (until, expected) in [("2999-01-01", 3), ("2020-01-01", 1)] {
        std::fs::write(place.join("known.toml"), known(until)).unwrap_or_else(|error| panic!("{error}"));
        let (exit, told, says) =
            run(&args(&id(18), &id(17)), &["--no-confirm", "--known-failures", "known.toml"]);
        assert_eq!(exit, expected, "{says} {told:#}");
    }
}

/// The cell is run again in a fresh page, as a run of its own, and that page's word counts.
#[test]
fn browsers_are_asked_again() {
    if !is_here("chromium") {
        return;
    }
    let place = folder();
    let place = place.path();
    let real = real_run(place, "chromium", "wasm");
    std::fs::write(place.join("rules.toml"), RULES).unwrap_or_else(|error| panic!("{error}"));
    store(place, &slowed_once(&real, 1..=6, 1.0e6));
    store(place, &slowed_once(&real, 11..=16, 1.0e-6));
    store(place, &[copied(&real, 17, 2.0e-6, Status::Crash)]);
    let id = |number: usize| id_of(&real[0].run, number);
    let judged = |run: usize| {
        let (run, before) = (id(run), id(run - 1));
        gate(place, &["--rules", "rules.toml", "--run", &run, "--baseline", &before])
    };
    let (exit, told, says) = judged(6);
    assert_eq!((exit, &told["figures"][0]["confirmed"]), (0, &"no".into()), "{says} {told:#}");
    let (exit, told, says) = judged(16);
    assert_eq!((exit, &told["figures"][0]["confirmed"]), (1, &"yes".into()), "{says} {told:#}");
    let (exit, told, says) = judged(17);
    assert_eq!((exit, &told["statuses"][0]["confirmed"]), (0, &"no".into()), "{says} {told:#}");
    let runs = collect::runs(&place.join("webmatrix-out"));
    // What is not seen again is not tried a third time.
    assert_eq!(
        runs.len(),
        1 + 1 + 2 + 1,
        "the real one, and one each time that it was tried again: {runs:?}"
    );
}

#[test]
fn baselines_are_runs_branches_and_files() {
    let place = folder();
    let place = place.path();
    let real = real_run(place, "native", "native-cpu");
    let mut runs: Vec<_> = (1..=3).map(|number| copied(&real, number, 5.0, Status::Pass)).collect();
    for entry in runs[..2].iter_mut().flatten() {
        if let Record::RunStarted(started) = &mut entry.record {
            started.environment.insert("branch".to_owned(), "main".to_owned());
        }
    }
    store(place, &runs);
    let id = |number: usize| runs[number - 1][0].run.clone();
    let against = |baseline: &str| {
        let (exit, told, says) = gate(place, &["--no-confirm", "--run", &id(3), "--baseline", baseline]);
        (exit, told["baseline"]["run"].clone(), told["history"].clone(), says)
    };
    assert_eq!(against("main").1, id(2));
    let (exit, run, history, says) = against(&id(2));
    assert_eq!((exit, run, history), (0, id(2).into(), 1.into()), "{says}");
    let (exit, _, _, says) = against("nowhere");
    assert!(exit == 65 && says.contains("branches with runs: main"), "{exit} {says}");
    let (exit, _, _, says) = against(&id(3));
    assert!(exit == 2 && says.contains("cannot be its own baseline"), "{exit} {says}");
    let (exit, _, _, says) = against("gone.json");
    assert!(exit == 65 && says.contains("baseline gone.json"), "{exit} {says}");
    std::fs::write(place.join("bad.json"), "{}").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(against("bad.json").0, 65);

    let saved = webmatrix(place, &["gate", "--run", &id(2), "--save", "base.json"]);
    assert_eq!(code(&saved), 0, "{}", stderr(&saved));
    let (exit, run, history, says) = against("base.json");
    assert_eq!((exit, run, history), (0, id(2).into(), 1.into()), "{says}");
    std::fs::copy(place.join("webmatrix-out/webmatrix.duckdb"), place.join("other.duckdb"))
        .unwrap_or_else(|error| panic!("{error}"));
    let (exit, run, _, says) = against("other.duckdb");
    assert_eq!((exit, run), (0, real[0].run.clone().into()), "{says}");

    let text = webmatrix(place, &["gate", "--no-confirm", "--run", &id(3), "--baseline", "main"]);
    assert!(
        stdout(&text).contains("no regression was shown (1 green cells compared, 1 statuses unchanged)"),
        "{}",
        stdout(&text)
    );
    assert!(stdout(&text).contains("would have been seen 4 times of 5"), "{}", stdout(&text));
    let markdown = webmatrix(
        place,
        &["gate", "--no-confirm", "--format", "markdown", "--run", &id(3), "--baseline", "main"],
    );
    assert!(stdout(&markdown).contains("### no regression was shown"), "{}", stdout(&markdown));
    assert!(real.iter().any(
        |entry| matches!(&entry.record, Record::CellDecided(decided) if decided.cell.to_string() == CELL)
    ));
}
