//! A database with a million samples: how long reports of it take, and how much memory. `WEBMATRIX_SAMPLES` is how many.
#![expect(clippy::print_stdout, reason = "this is what a benchmark is for")]

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use webmatrix::collect::{Entry, JOURNAL_VERSION, Record};
use webmatrix::store::Database;
use webmatrix_wire::{AttemptId, Envelope, Message, Sample};

/// Cells of the run, each with an attempt.
const CELLS: usize = 1000;
/// What a report may take.
const MOST_S: f64 = 5.0;
const MOST_MIB: u64 = 1024;

fn main() -> anyhow::Result<()> {
    let samples: usize =
        std::env::var("WEBMATRIX_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("million.duckdb");
    drop(Database::open(&file)?);
    let begun = Instant::now();
    fill(&file, samples / CELLS)?;
    println!("{samples} samples of {CELLS} cells: made in {:.1} s", begun.elapsed().as_secs_f64());
    println!(
        "{samples} samples from a journal: written in {:.1} s",
        written(folder.path(), samples / CELLS)?
    );
    let mut over = Vec::new();
    for format in ["html", "json", "markdown", "csv", "jsonl"] {
        let report = folder.path().join(format!("report.{format}"));
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_webmatrix"))
            .args(["report", "--format", format, "--db"])
            .arg(&file)
            .arg("--out")
            .arg(&report)
            .stdout(Stdio::null())
            .spawn()?;
        let peak = peak_kib(&mut child)?;
        let (took, size) = (begun.elapsed().as_secs_f64(), std::fs::metadata(&report)?.len());
        let told = peak.map_or_else(
            || "memory cannot be seen here".to_owned(),
            |kib| format!("{} MiB at most", kib / 1024),
        );
        println!("report --format {format}: {took:.2} s, {told}, {:.1} MB written", size as f64 / 1e6);
        if took > MOST_S || peak.is_some_and(|kib| kib / 1024 > MOST_MIB) {
            over.push(format);
        }
    }
    anyhow::ensure!(over.is_empty(), "over {MOST_S} s or {MOST_MIB} MiB: {}", over.join(", "));
    Ok(())
}

/// The most memory that a child ever had, until it ended, in KiB; none where nobody tells.
fn peak_kib(child: &mut std::process::Child) -> anyhow::Result<Option<u64>> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    loop {
        let told = std::fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        });
        peak = told.max(peak);
        if let Some(ended) = child.try_wait()? {
            anyhow::ensure!(ended.success(), "the report failed: {ended}");
            return Ok(peak);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Seconds that the store takes for the samples of so many attempts, each handed over at its end.
fn written(folder: &std::path::Path, each: usize) -> anyhow::Result<f64> {
    let database = Database::open(&folder.join("written.duckdb"))?;
    let begun = Instant::now();
    for attempt in 0..CELLS {
        let attempt = AttemptId(format!("A{attempt:025}"));
        let said = |index: usize| Entry {
            version: JOURNAL_VERSION,
            run: "01R".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            record: Record::Received {
                attempt: attempt.clone(),
                envelope: Envelope {
                    seq: index as u64,
                    at_ms: index as f64,
                    message: Message::Sample(Sample { index: index as u32, warmup: index == 0, ms: 5.0 }),
                },
            },
        };
        database.apply(&(0..each).map(said).collect::<Vec<_>>())?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// One run of many cells, each with so many samples: rows as the writer would leave them, made by the database itself.
fn fill(file: &std::path::Path, each: usize) -> anyhow::Result<()> {
    let database = duckdb::Connection::open(file)?;
    let id = "'A' || lpad(i::VARCHAR, 25, '0')";
    let sql = format!(
        "INSERT INTO run (run, matrix, started_at, ended_at, exit_code, interrupted, arguments, plan, webmatrix_version,
             wire_version, harness)
         VALUES ('01R', 'million', now()::TIMESTAMP, now()::TIMESTAMP, 0, false, '[]', '{{}}', '0', 7, '');
         INSERT INTO browser SELECT '01R', 'b' || i, 'chromium', '150.0', 'stable', '/x', '/y', '150.0', NULL
             FROM range(10) t(i);
         INSERT INTO attempt (attempt, run, cell, browser, number, started_at, wall_ms, page_ms, job, status, evidence, cpu_ms)
             SELECT {id}, '01R', 'b' || i % 10 || '/bert@tiny+b' || (1 + i // 10) || '/webmatrix/wasm/fp32/default', 'b' || i % 10, 1,
                 now()::TIMESTAMP, 9, 8, '{{}}', 'pass', 'cpu', 7
             FROM range({CELLS}) t(i);
         INSERT INTO cell (run, cell, ordinal, browser, model, size, runtime, backend, \"precision\", profile, status, flaky,
                 evidence, implementation, attempt, wall_ms, page_ms, decided_at)
             SELECT '01R', cell, row_number() OVER (ORDER BY attempt) - 1, browser, 'bert', 'tiny', 'webmatrix', 'wasm', 'fp32',
                 'default', 'pass', false, 'cpu', 'REAL_WASM', attempt, 9, 8, now()::TIMESTAMP
             FROM attempt;
         INSERT INTO sample SELECT {id}, j, j = 0, 5 + (hash(i * 1000003 + j) % 100000) / 100000
             FROM range({CELLS}) t(i), range({each}) u(j);"
    );
    database.execute_batch(&sql).context("filling the database")?;
    Ok(())
}
