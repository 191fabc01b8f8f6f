//! Entries become rows, once.

use std::collections::BTreeMap;

use webmatrix_wire::{
    AttemptId, Backend, Capability, Challenge, Done, Envelope, EnvironmentFacts, EvidenceGrade, Job, JobKind,
    Message, ProbeReport, Sample, Status, TimerFacts, WIRE_VERSION, WasmFacts,
};

use super::*;
use crate::collect::{
    AttemptEnded, AttemptStarted, BrowserSeen, CellDecided, Cost, End, Entry, JOURNAL_VERSION, OpVerdict,
    OpsDecided, Record, RunStarted, Statement, Task, Verdict, Versions,
};
use crate::plan::{
    Cell, Deadlines, Decision, Generation, OpsTarget, Plan, PlannedCell, RunSettings, Thresholds,
};

fn cell() -> Cell {
    "chromium/bert@tiny/webmatrix/wasm/fp32/default".parse().unwrap_or_else(|error| panic!("{error}"))
}

fn entry(record: Record) -> Entry {
    let at = jiff::Timestamp::from_second(1_700_000_000).unwrap_or_else(|error| panic!("{error}"));
    Entry { version: JOURNAL_VERSION, run: "R1".to_owned(), at, record }
}

fn say(seq: u64, message: Message) -> Entry {
    let envelope = Envelope { seq, at_ms: 1.0, message };
    entry(Record::Received { attempt: AttemptId("A1".into()), envelope })
}

fn probe() -> ProbeReport {
    ProbeReport {
        webgpu: vec![Capability {
            name: "high-performance".into(),
            present: true,
            usable: false,
            error: Some("adapter is null".into()),
            ms: 3.0,
            facts: None,
        }],
        webnn: vec![],
        wasm: WasmFacts { features: BTreeMap::from([("simd".to_owned(), true)]), shared_memory: true },
        environment: EnvironmentFacts {
            user_agent: "test".into(),
            hardware_concurrency: 2,
            device_memory_gib: None,
            secure_context: true,
            cross_origin_isolated: true,
            in_worker: true,
        },
        timers: TimerFacts { performance_now_us: 100.0, gpu_timestamp_us: None },
    }
}

fn op_verdict(case: &str, fault: Option<&str>) -> OpVerdict {
    OpVerdict {
        op: "gemm".into(),
        case: case.into(),
        dtype: "float32".into(),
        status: if fault.is_none() { Status::Pass } else { Status::Wrong },
        flaky: false,
        evidence: EvidenceGrade::Cpu,
        implementation: None,
        max_abs: Some(0.5),
        ratio: fault.is_none().then_some(0.25),
        error: fault.map(str::to_owned),
    }
}

/// A whole small run.
fn entries() -> Vec<Entry> {
    let plan = Plan {
        matrix: "quick".into(),
        cells: vec![PlannedCell { cell: cell(), decision: Decision::Run }],
        ops: Vec::new(),
        run: RunSettings::default(),
        generation: Generation::default(),
        thresholds: Thresholds::default(),
        deadlines: Deadlines::default(),
        profiles: BTreeMap::new(),
        files: BTreeMap::new(),
        missing: vec![],
    };
    let attempt = AttemptId("A1".into());
    let job = Job {
        wire_version: WIRE_VERSION,
        attempt: attempt.clone(),
        title: "t".into(),
        deadline_ms: 1000,
        nonce: 1,
        variant: None,
        relaxed: None,
        kind: JobKind::Probe {},
    };
    let mut verdict = Verdict::nothing_ran(Status::Pass, "");
    (verdict.evidence, verdict.reason) = (EvidenceGrade::Cpu, None);
    let sample = |index, warmup, ms| Message::Sample(Sample { index, warmup, ms });
    let facts = webmatrix_wire::BackendFacts {
        backend: Backend::Wasm,
        steps_down: vec![],
        adapter: None,
        webnn_device_type: None,
        challenge: Some(Challenge { answer: vec![] }),
        ops: vec![webmatrix_wire::OpCount { op: "matmul".into(), backend: Backend::Wasm, count: 3 }],
        dispatches: 0,
        threads: Some(2),
        kernels: BTreeMap::new(),
        pipelines: None,
    };
    vec![
        entry(Record::RunStarted(Box::new(RunStarted {
            plan,
            environment: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
            versions: Versions { webmatrix: "0.1.0".into(), wire: WIRE_VERSION, harness: "h".into() },
            arguments: vec!["run".into()],
        }))),
        entry(Record::BrowserSeen(BrowserSeen {
            label: "chromium".into(),
            version: "156.0".into(),
            ..BrowserSeen::default()
        })),
        entry(Record::AttemptStarted(Box::new(AttemptStarted {
            attempt: attempt.clone(),
            browser: "chromium".into(),
            cell: Some(cell()),
            number: 1,
            session: None,
            job,
        }))),
        say(0, Message::Probe(Box::new(probe()))),
        say(1, sample(0, true, 99.0)),
        say(2, sample(1, false, 4.0)),
        say(3, sample(2, false, 2.0)),
        say(4, Message::Backend(Box::new(facts))),
        say(5, Message::Memory(webmatrix_wire::Memory::of(10, None, 8, 0, 0))),
        say(5, Message::Memory(webmatrix_wire::Memory::of(20, None, 8, 0, 0))),
        entry(Record::AttemptEnded(Box::new(AttemptEnded {
            attempt: attempt.clone(),
            end: End::Done(Done { page_ms: 7.0, outputs: vec![] }),
            wall_ms: 9.0,
            cpu_ms: Some(6.0),
            verdict: Some(verdict.clone()),
            answer: vec![Statement {
                task: Task::Embedding,
                item: 0,
                rank: 0,
                text: "1".into(),
                score: Some(0.5),
                corners: None,
            }],
            log_tail: vec!["last words".into()],
        }))),
        entry(Record::CellDecided(Box::new(CellDecided {
            cell: cell(),
            verdict,
            flaky: false,
            attempt: Some(attempt),
            cost: Some(Cost { wall_ms: 9.0, page_ms: Some(7.0) }),
        }))),
        entry(Record::OpsDecided(Box::new(OpsDecided {
            target: OpsTarget { browser: "chromium".into(), backend: Backend::Wasm },
            cases: vec![op_verdict("gemm 2x2", None), op_verdict("gemm 3x3", Some("[0]: 1 is not 2"))],
            attempt: Some(AttemptId("A1".into())),
        }))),
        entry(Record::RunEnded { exit_code: 0, interrupted: false }),
    ]
}

/// Everything that can be read back.
fn dump(database: &Database) -> String {
    let run = "R1";
    let read = || -> Result<_, StoreError> {
        Ok((
            database.runs(&RunSelection::All)?,
            database.environment(run)?,
            database.browsers(run)?,
            database.cells(run)?,
            (
                database.attempts(run)?,
                database.op_cases(run)?,
                database.answers(run)?,
                database.metrics(run)?,
            ),
            (database.memory(run)?, database.caches(run)?),
            (database.samples(run)?, database.ops(run)?, database.capabilities(run)?, database.log(run)?),
        ))
    };
    format!("{:#?}", read().unwrap_or_else(|error| panic!("{error}")))
}

fn database(entries: &[Entry]) -> Database {
    let database = Database::in_memory().unwrap_or_else(|error| panic!("{error}"));
    database.apply(entries).unwrap_or_else(|error| panic!("{error}"));
    database
}

#[test]
fn a_run_reads_back() {
    let database = database(&entries());
    let cells = database.cells("R1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cells.len(), 1);
    assert_eq!(cells[0].median_ms, Some(3.0));
    assert_eq!(cells[0].status.as_deref(), Some("pass"));
    assert_eq!(cells[0].browser_version, "156.0");
    let runs = database.runs(&RunSelection::Latest).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(runs[0].started_at, "2023-11-14T22:13:20.000Z");
    assert_eq!(runs[0].exit_code, Some(0));
    let found = database.capabilities("R1").unwrap_or_else(|error| panic!("{error}"));
    assert!(found.iter().any(|row| row.area == "webgpu" && row.error.as_deref() == Some("adapter is null")));
    assert!(found.iter().any(|row| row.area == "timers" && row.name == "performance_now_us"));
}

#[test]
fn times_read_back_with_the_fences_that_outliers_lie_beyond() {
    let mut entries = entries();
    let sample =
        |(index, ms)| say(20 + u64::from(index), Message::Sample(Sample { index, warmup: false, ms }));
    entries.extend((3..).zip([3.0, 2.0, 4.0, 3.0, 50.0]).map(sample));
    let metric = |seq, name: &str, value| {
        say(seq, Message::Metric(webmatrix_wire::Metric { name: name.into(), value, unit: "x".into() }))
    };
    entries.extend([metric(40, "warmup_rested", 0.0), metric(41, "timer_step", 5.0)]);
    let timings = database(&entries).timings("R1").unwrap_or_else(|error| panic!("{error}"));
    let [row] = &timings[..] else { panic!("{timings:?}") };
    assert_eq!((row.samples, row.p50, row.outliers, row.warmups), (7, 3.0, 1, 1));
    // Quartiles of 2 2 3 3 4 4 50 are 2.5 and 4.
    assert_eq!((row.low, row.high), (-2.0, 8.5));
    assert_eq!((row.rested, row.timer_step_us, row.cpu_ms), (Some(false), Some(5.0), Some(6.0)));
}

#[test]
fn what_outputs_say_reads_back() {
    let database = database(&entries());
    let said = database.answers("R1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((said.len(), said[0].task.as_str(), said[0].score), (1, "embedding", Some(0.5)));
    let metrics = database.metrics("R1").unwrap_or_else(|error| panic!("{error}"));
    assert!(metrics.iter().any(|row| row.name == "sentence_cosine.0.1" && row.value == 0.5));
}

#[test]
fn memory_reads_back_and_the_last_of_a_moment_stands() {
    let database = database(&entries());
    let told = database.memory("R1").unwrap_or_else(|error| panic!("{error}"));
    let told: Vec<_> = told.iter().map(|row| (row.kind.as_str(), row.bytes)).collect();
    assert_eq!(told, [("files", 0), ("io", 0), ("states", 8), ("weights", 20)]);
}

#[test]
fn op_cases_read_back_and_make_a_run_the_latest() {
    let database = database(&entries());
    let cases = database.op_cases("R1").unwrap_or_else(|error| panic!("{error}"));
    let one =
        |row: &OpCaseRow| (row.case.clone(), row.status.clone(), row.ratio, row.browser_version.clone());
    assert_eq!(
        cases.iter().map(one).collect::<Vec<_>>(),
        [
            ("gemm 2x2".to_owned(), "pass".to_owned(), Some(0.25), "156.0".to_owned()),
            ("gemm 3x3".to_owned(), "wrong".to_owned(), None, "156.0".to_owned()),
        ]
    );
    // A run without cells, and a verdict that replaces the first one.
    let later = |record| Entry { run: "R2".to_owned(), ..entry(record) };
    let decided = |fault| {
        Record::OpsDecided(Box::new(OpsDecided {
            target: OpsTarget { browser: "native".into(), backend: Backend::NativeCpu },
            cases: vec![op_verdict("gemm 2x2", fault)],
            attempt: None,
        }))
    };
    let Record::RunStarted(started) = entries().remove(0).record else { panic!("no start") };
    let entries = [Record::RunStarted(started), decided(Some("no")), decided(None)].map(later);
    database.apply(&entries).unwrap_or_else(|error| panic!("{error}"));
    let latest = database.runs(&RunSelection::Latest).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(latest[0].run, "R2");
    let cases = database.op_cases("R2").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cases.iter().map(|row| row.status.as_str()).collect::<Vec<_>>(), ["pass"]);
}

#[test]
fn a_database_of_an_older_program_can_be_read() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("x.duckdb");
    let database = Database::open(&path).unwrap_or_else(|error| panic!("{error}"));
    let old = "DROP TABLE op_case; DROP TABLE answer; DROP TABLE peer; DROP TABLE pair;
               DELETE FROM schema_version WHERE version >= 3";
    database.connection.execute_batch(old).unwrap_or_else(|error| panic!("{error}"));
    drop(database);
    let database = Database::open_read_only(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(database.op_cases("R1").map(|cases| cases.len()).ok(), Some(0));
}

#[test]
fn a_journal_replayed_changes_nothing() {
    let once = database(&entries());
    let before = dump(&once);
    once.apply(&entries()).unwrap_or_else(|error| panic!("{error}"));
    for entry in entries() {
        once.apply(&[entry]).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(dump(&once), before);
}

#[test]
fn an_interruption_anywhere_is_completed_by_replay() {
    let whole = dump(&database(&entries()));
    for cut in 0..=entries().len() {
        let database = database(&entries()[..cut]);
        database.apply(&entries()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(dump(&database), whole, "cut at {cut}");
    }
}

#[test]
fn migrations_are_applied_once_and_newer_databases_refused() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("deep/x.duckdb");
    assert!(matches!(Database::open_read_only(&path), Err(StoreError::Missing(_))));
    drop(Database::open(&path).unwrap_or_else(|error| panic!("{error}")));
    let again = Database::open(&path).unwrap_or_else(|error| panic!("{error}"));
    again
        .connection
        .execute_batch("INSERT INTO schema_version (version) VALUES (999)")
        .unwrap_or_else(|e| panic!("{e}"));
    drop(again);
    assert!(matches!(Database::open(&path), Err(StoreError::Newer { found: 999, .. })));
}

#[test]
fn the_writer_finishes_what_is_queued() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("x.duckdb");
    let writer = Writer::start(&path).unwrap_or_else(|error| panic!("{error}"));
    for entry in entries() {
        writer.write(vec![entry]);
    }
    writer.finish().unwrap_or_else(|error| panic!("{error}"));
    let database = Database::open_read_only(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(database.samples("R1").map(|samples| samples.len()).ok(), Some(3));
}

#[test]
fn who_reads_beside_the_writer_sees_what_waits_and_keeps_nobody_from_finishing() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("x.duckdb");
    let writer = Writer::start(&path).unwrap_or_else(|error| panic!("{error}"));
    // Its plan alone ends nothing, and would wait for what does.
    writer.write(entries()[..1].to_vec());
    let reader = writer.reader().unwrap_or_else(|error| panic!("{error}"));
    let pulse = || reader.pulse("R1").unwrap_or_else(|error| panic!("{error}"));
    let begun = std::time::Instant::now();
    while pulse().is_none() && begun.elapsed() < std::time::Duration::from_secs(30) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(pulse(), Some((0, 0, 0, false)));
    writer.write(entries()[1..].to_vec());
    writer.finish().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pulse(), Some((1, 1, 2, true)));
    assert!(writer.reader().is_err(), "nothing is written any more");
    drop(reader);
    assert!(Database::open_read_only(&path).is_ok(), "the file is held");
}

#[test]
fn a_run_that_is_not_there_is_told() {
    let database = database(&entries());
    assert!(matches!(database.runs(&RunSelection::Id("R9".into())), Err(StoreError::NoRun(_))));
}

#[test]
fn rows_by_the_thousand_are_those_of_one_at_a_time() {
    let said = |at: u32| {
        let at_ms = f64::from(at / 2);
        let memory = webmatrix_wire::Memory::of(u64::from(at), Some(7), 0, 0, 0);
        let tokens = webmatrix_wire::Tokens { sample: at, ms: vec![1.0, 2.0 + f64::from(at)] };
        let sample = Sample { index: at, warmup: at < 3, ms: 5.0 + f64::from(at) };
        [Message::Sample(sample), Message::Tokens(tokens), Message::Memory(memory)].map(|message| {
            let envelope = Envelope { seq: u64::from(at), at_ms, message };
            entry(Record::Received { attempt: AttemptId("A1".into()), envelope })
        })
    };
    let all: Vec<Entry> = (0..300).flat_map(said).collect();
    let told = |database: &Database| -> Vec<String> {
        ["sample", "token_event", "memory_point"]
            .iter()
            .flat_map(|table| {
                let sql = format!("SELECT ({table})::VARCHAR FROM {table} ORDER BY ALL");
                database
                    .rows(&sql, duckdb::params![], |row| row.get::<_, String>(0))
                    .unwrap_or_else(|e| panic!("{e}"))
            })
            .collect()
    };
    let at_once = database(&all);
    let one_by_one = database(&[]);
    all.iter().for_each(|one| {
        one_by_one.apply(std::slice::from_ref(one)).unwrap_or_else(|error| panic!("{error}"));
    });
    let rows = told(&at_once);
    // Two moments share a time, and the later one stands for both: weights, activations, states, io and what is kept.
    assert!(
        rows.len() > 300 + 600 + 300 && rows == told(&one_by_one),
        "{} {}",
        rows.len(),
        told(&one_by_one).len()
    );
    // What is in already changes nothing, in whatever company it comes, twice in the same too.
    let again: Vec<Entry> = all.iter().chain(&all).cloned().chain((300..303).flat_map(said)).collect();
    at_once.apply(&again).unwrap_or_else(|error| panic!("{error}"));
    let more = told(&at_once);
    assert!(more.len() > rows.len() && rows.iter().filter(|row| !more.contains(row)).count() == 0);
}
