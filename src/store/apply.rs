//! From journal entries to rows.

use duckdb::{Connection, params};
use webmatrix_wire::{AttemptId, BackendFacts, Capability, Envelope, LogLevel, Message, Phase, ProbeReport};

use super::bulk::Bulk;
use super::{Database, StoreError};
use crate::collect::{
    AttemptEnded, AttemptStarted, CellDecided, End, Entry, OpsDecided, Record, RunStarted, Statement, Task,
};

impl Database {
    /// Writes the rows of the entries, in one transaction. Entries that are in already change nothing.
    pub fn apply(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN TRANSACTION")?;
        let mut bulk = Bulk::default();
        let mut others = entries.iter().filter(|entry| !bulk.take(entry));
        let applied = others.try_for_each(|entry| Rows { db: &self.connection, entry }.write());
        let applied = applied.and_then(|()| bulk.write(&self.connection));
        self.connection.execute_batch(if applied.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        applied
    }
}

/// The rows of one entry.
struct Rows<'a> {
    db: &'a Connection,
    entry: &'a Entry,
}

type Written = Result<(), StoreError>;

impl Rows<'_> {
    fn write(&self) -> Written {
        let run = &self.entry.run;
        match &self.entry.record {
            Record::RunStarted(started) => self.run_started(started),
            Record::RunResumed {} => self.execute(
                "UPDATE run SET ended_at = NULL, exit_code = NULL, interrupted = NULL WHERE run = ?",
                params![run],
            ),
            Record::BrowserSeen(b) => self.execute(
                "INSERT INTO browser VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![
                    run,
                    b.label,
                    b.kind,
                    b.version,
                    b.channel,
                    b.path,
                    b.driver,
                    b.driver_version,
                    b.problem
                ],
            ),
            Record::SessionStarted(s) => self.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![s.session, run, s.browser, self.at(), s.start_ms, s.version, s.facts.to_string()],
            ),
            Record::AttemptStarted(started) => self.attempt_started(started),
            Record::Received { attempt, envelope } => self.received(attempt, envelope),
            Record::OutputsReceived(o) => self.execute(
                "UPDATE attempt SET outputs = ?, outputs_sha256 = ? WHERE attempt = ?",
                params![o.file, o.sha256, o.attempt.0],
            ),
            Record::AttemptEnded(ended) => self.attempt_ended(ended),
            Record::CellDecided(decided) => self.cell_decided(decided),
            Record::OpsDecided(decided) => self.ops_decided(decided),
            Record::CellTraced(traced) => self.execute(
                "INSERT OR REPLACE INTO trace VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    run,
                    traced.cell.to_string(),
                    self.at(),
                    traced.by,
                    traced.says,
                    serde_json::to_string(&traced.layers)?
                ],
            ),
            Record::RunEnded { exit_code, interrupted } => self.execute(
                "UPDATE run SET ended_at = ?, exit_code = ?, interrupted = ? WHERE run = ?",
                params![self.at(), exit_code, interrupted, run],
            ),
        }
    }

    fn execute(&self, sql: &str, values: &[&dyn duckdb::ToSql]) -> Written {
        self.db.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// The entry's time as DuckDB reads it.
    fn at(&self) -> String {
        self.entry.at.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }

    fn run_started(&self, started: &RunStarted) -> Written {
        let run = &self.entry.run;
        self.execute(
            "INSERT INTO run (run, matrix, started_at, arguments, plan, webmatrix_version, wire_version, harness)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![
                run,
                started.plan.matrix,
                self.at(),
                serde_json::to_string(&started.arguments)?,
                serde_json::to_string(&started.plan)?,
                started.versions.webmatrix,
                started.versions.wire,
                started.versions.harness
            ],
        )?;
        for (name, value) in &started.environment {
            self.execute(
                "INSERT INTO environment VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                params![run, name, value],
            )?;
        }
        for (ordinal, planned) in (0_u32..).zip(&started.plan.cells) {
            let c = &planned.cell;
            self.execute(
                "INSERT INTO cell (run, cell, ordinal, browser, model, size, runtime, backend, \"precision\", profile)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![
                    run,
                    c.to_string(),
                    ordinal,
                    c.browser,
                    c.model.as_str(),
                    format!("{}{}", c.size, c.shape),
                    c.runtime.as_str(),
                    c.backend.as_str(),
                    c.precision.as_str(),
                    c.profile
                ],
            )?;
        }
        Ok(())
    }

    fn attempt_started(&self, started: &AttemptStarted) -> Written {
        self.execute(
            "INSERT INTO attempt (attempt, run, cell, browser, number, session, started_at, job)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![
                started.attempt.0,
                self.entry.run,
                started.cell.as_ref().map(ToString::to_string),
                started.browser,
                started.number,
                started.session,
                self.at(),
                serde_json::to_string(&started.job)?
            ],
        )
    }

    fn attempt_ended(&self, ended: &AttemptEnded) -> Written {
        let page_ms = if let End::Done(done) = &ended.end { Some(done.page_ms) } else { None };
        let verdict = ended.verdict.as_ref();
        self.execute(
            "UPDATE attempt SET wall_ms = ?, cpu_ms = ?, page_ms = ?, \"end\" = ?, end_facts = ?, status = ?, evidence = ?, reason = ?
             WHERE attempt = ?",
            params![
                ended.wall_ms,
                ended.cpu_ms,
                page_ms,
                ended.end.name(),
                serde_json::to_string(&ended.end)?,
                verdict.map(|verdict| verdict.status.as_str()),
                verdict.map(|verdict| verdict.evidence.as_str()),
                verdict.and_then(|verdict| verdict.reason.as_ref()),
                ended.attempt.0
            ],
        )?;
        for said in &ended.answer {
            self.answer(&ended.attempt, said)?;
        }
        for (line, text) in (0_u64..).zip(&ended.log_tail) {
            self.log(&ended.attempt, "driver", line, None, "info", text)?;
        }
        Ok(())
    }

    fn answer(&self, attempt: &AttemptId, said: &Statement) -> Written {
        let corner = |at: usize| said.corners.map(|corners| corners[at]);
        self.execute(
            "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![
                attempt.0,
                said.item,
                said.rank,
                said.task.as_str(),
                said.text,
                said.score,
                corner(0),
                corner(1),
                corner(2),
                corner(3)
            ],
        )?;
        // Likenesses of sentences are compared between backends as other numbers are.
        match (said.task, said.score) {
            (Task::Embedding, Some(cosine)) => {
                let name = format!("sentence_cosine.{}.{}", said.item, said.text);
                self.metric(attempt, &name, cosine, "cosine")
            }
            _ => Ok(()),
        }
    }

    fn cell_decided(&self, decided: &CellDecided) -> Written {
        let verdict = &decided.verdict;
        if let (Some(attempt), Some(accuracy)) = (&decided.attempt, &verdict.accuracy) {
            for output in &accuracy.outputs {
                let measures = [
                    ("cosine", output.cosine, "cosine"),
                    ("relative_error", output.relative_error, "ratio"),
                    ("agreement", output.agreement, "ratio"),
                    ("divergence", output.divergence, "nat"),
                ];
                for (what, value, unit) in measures {
                    let Some(value) = value else { continue };
                    self.metric(attempt, &format!("accuracy.{}.{what}", output.name), value, unit)?;
                }
            }
        }
        if let (Some(attempt), Some(scored)) = (&decided.attempt, &verdict.perplexity) {
            self.metric(attempt, "perplexity.tokens", scored.tokens as f64, "1")?;
            let told = [("perplexity", Some(scored.perplexity)), ("perplexity.ratio", scored.ratio)];
            for (name, told) in told.into_iter().filter_map(|(name, told)| Some((name, told?))) {
                self.metric(attempt, name, told.value, "1")?;
                for (end, value) in [("lo", told.lo), ("hi", told.hi)] {
                    let Some(value) = value else { continue };
                    self.metric(attempt, &format!("{name}.{end}"), value, "1")?;
                }
            }
        }
        self.execute(
            "UPDATE cell SET status = ?, flaky = ?, evidence = ?, implementation = ?, reason = ?, reference = ?,
                 agreement = ?, accuracy = ?, perplexity = ?, attempt = ?, wall_ms = ?, page_ms = ?, decided_at = ?
             WHERE run = ? AND cell = ?",
            params![
                verdict.status.as_str(),
                decided.flaky,
                verdict.evidence.as_str(),
                verdict.implementation.map(|implementation| implementation.as_str()),
                verdict.reason,
                verdict.agreement.as_ref().map(|agreement| &agreement.reference),
                verdict.agreement.as_ref().map(serde_json::to_string).transpose()?,
                verdict.accuracy.as_ref().map(serde_json::to_string).transpose()?,
                verdict.perplexity.as_ref().map(serde_json::to_string).transpose()?,
                decided.attempt.as_ref().map(|attempt| &attempt.0),
                decided.cost.map(|cost| cost.wall_ms),
                decided.cost.and_then(|cost| cost.page_ms),
                self.at(),
                self.entry.run,
                decided.cell.to_string()
            ],
        )
    }

    fn ops_decided(&self, decided: &OpsDecided) -> Written {
        let target = &decided.target;
        for (ordinal, case) in (0_u32..).zip(&decided.cases) {
            self.execute(
                "INSERT OR REPLACE INTO op_case VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    self.entry.run,
                    target.browser,
                    target.backend.as_str(),
                    case.case,
                    ordinal,
                    case.op,
                    case.dtype,
                    case.status.as_str(),
                    case.flaky,
                    case.evidence.as_str(),
                    case.implementation.map(|implementation| implementation.as_str()),
                    case.max_abs,
                    case.ratio,
                    case.error,
                    decided.attempt.as_ref().map(|attempt| &attempt.0)
                ],
            )?;
        }
        Ok(())
    }

    fn received(&self, attempt: &AttemptId, envelope: &Envelope) -> Written {
        match &envelope.message {
            Message::Hello(hello) => self.execute(
                "UPDATE attempt SET variant = ? WHERE attempt = ?",
                params![hello.variant.as_str(), attempt.0],
            ),
            Message::Pair(pair) => self.execute(
                "INSERT INTO pair VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![attempt.0, pair.index, pair.warmup, pair.ours_first, pair.ours_ms, pair.peer_ms],
            ),
            Message::Peer(peer) => self.execute(
                "INSERT INTO peer VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![
                    attempt.0,
                    peer.runtime,
                    peer.version,
                    peer.provider,
                    peer.threads,
                    serde_json::to_string(&peer.placed)?
                ],
            ),
            Message::Loaded(loaded) => {
                self.metric(attempt, "load.requests", f64::from(loaded.requests), "1")?;
                self.metric(attempt, "load.together", f64::from(loaded.together), "1")?;
                self.metric(
                    attempt,
                    "load.beside_device",
                    f64::from(u8::from(loaded.beside_device)),
                    "bool",
                )?;
                self.metric(attempt, "load.bytes", loaded.bytes as f64, "B")
            }
            Message::Timing(timing) => self.metric(attempt, phase(timing.phase), timing.ms, "ms"),
            Message::Metric(metric) => self.metric(attempt, &metric.name, metric.value, &metric.unit),
            Message::Backend(facts) => self.backend(attempt, facts),
            Message::Probe(report) => self.probe(attempt, report),
            Message::Log(log) => {
                let level = match log.level {
                    LogLevel::Info => "info",
                    LogLevel::Warn => "warn",
                    LogLevel::Error => "error",
                };
                self.log(attempt, "page", envelope.seq, Some(envelope.at_ms), level, &log.text)
            }
            // Where it stood is of interest while it stood there; how it ended is the attempt's end, and what
            // became of op cases is their verdicts.
            Message::OpCase(_) | Message::Progress(_) | Message::Done(_) | Message::Failed(_) => Ok(()),
            // Gathered: they come by the thousand.
            Message::Sample(_) | Message::Tokens(_) | Message::Memory(_) => Ok(()),
        }
    }

    fn metric(&self, attempt: &AttemptId, name: &str, value: f64, unit: &str) -> Written {
        self.execute(
            "INSERT INTO metric VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![attempt.0, name, value, unit],
        )
    }

    fn log(
        &self,
        attempt: &AttemptId,
        source: &str,
        line: u64,
        at: Option<f64>,
        level: &str,
        text: &str,
    ) -> Written {
        self.execute(
            "INSERT INTO log_line VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![attempt.0, source, line, at, level, text],
        )
    }

    fn backend(&self, attempt: &AttemptId, facts: &BackendFacts) -> Written {
        self.execute(
            "UPDATE attempt SET backend = ?, facts = ? WHERE attempt = ?",
            params![facts.backend.as_str(), serde_json::to_string(facts)?, attempt.0],
        )?;
        if let Some(made) = facts.pipelines {
            self.metric(attempt, "pipelines.ahead", f64::from(made.ahead), "1")?;
            self.metric(attempt, "pipelines.within", f64::from(made.within), "1")?;
            self.metric(attempt, "pipelines.together", f64::from(made.together), "1")?;
        }
        for op in &facts.ops {
            self.execute(
                "INSERT INTO op_result VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = excluded.count",
                params![attempt.0, op.op, op.backend.as_str(), op.count],
            )?;
        }
        Ok(())
    }

    fn probe(&self, attempt: &AttemptId, report: &ProbeReport) -> Written {
        for tried in &report.webgpu {
            self.capability(attempt, "webgpu", tried)?;
        }
        for tried in &report.webnn {
            self.capability(attempt, "webnn", tried)?;
        }
        for (name, valid) in &report.wasm.features {
            self.fact(attempt, "wasm", name, *valid, None)?;
        }
        self.fact(attempt, "wasm", "shared-memory", report.wasm.shared_memory, None)?;
        self.facts(attempt, "environment", &serde_json::to_value(&report.environment)?)?;
        self.facts(attempt, "timers", &serde_json::to_value(&report.timers)?)
    }

    /// One row for every field of a struct.
    fn facts(&self, attempt: &AttemptId, area: &str, fields: &serde_json::Value) -> Written {
        for (name, value) in fields.as_object().into_iter().flatten() {
            self.fact(attempt, area, name, !value.is_null(), Some(value))?;
        }
        Ok(())
    }

    fn fact(
        &self,
        attempt: &AttemptId,
        area: &str,
        name: &str,
        usable: bool,
        value: Option<&serde_json::Value>,
    ) -> Written {
        self.capability(
            attempt,
            area,
            &Capability {
                name: name.to_owned(),
                present: usable,
                usable,
                error: None,
                ms: 0.0,
                facts: value,
            },
        )
    }

    fn capability<T: serde::Serialize>(
        &self,
        attempt: &AttemptId,
        area: &str,
        tried: &Capability<T>,
    ) -> Written {
        self.execute(
            "INSERT INTO capability
             SELECT attempt, ?, ?, run, browser, ?, ?, ?, ?, ? FROM attempt WHERE attempt = ? ON CONFLICT DO NOTHING",
            params![
                area,
                tried.name,
                tried.present,
                tried.usable,
                tried.error,
                tried.ms,
                tried.facts.as_ref().map(serde_json::to_string).transpose()?,
                attempt.0
            ],
        )
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Module => "phase.module",
        Phase::Load => "phase.load",
        Phase::Device => "phase.device",
        Phase::Compile => "phase.compile",
        Phase::First => "phase.first",
        Phase::Start => "phase.start",
    }
}
