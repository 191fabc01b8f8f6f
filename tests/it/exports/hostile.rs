//! A run in which everything that a browser or a user may name is chosen to break out of some document.

use std::path::Path;

use duckdb::{Connection, params};
use serde_json::json;
use webmatrix::store::Database;

/// A browser's label that would leave its folder, be markup, and turn what stands behind it.
pub(crate) const BROWSER: &str = "../<b>=1+1\u{202e}";

/// A model that is a formula, a script, a table's cell, a link, and what no document can show.
pub(crate) const MODEL: &str =
    "=cmd|' /C calc'!A0<script>alert(1)</script>\"q\"`c`|a\nb\tc]]>--><!--&amp;\u{202e}\u{0}\u{1b}[31m é😀";

pub(crate) const REASON: &str = "=cmd|' /C calc'!A0\n<script>alert(1)</script> ]]>--> `x` **b** ~~s~~ \
    [a](http://evil.example) https://evil.example www.evil.example @team $x$ \u{2067}\u{202e}\u{0}\u{1b}[31m é😀";

/// What became of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Steady,
    Software,
    Fallback,
    Flaky,
    Wrong,
    Crash,
    Error,
    Absent,
    Open,
}

/// Each with backend, status and evidence.
const KINDS: [(Kind, &str, Option<&str>, &str); 9] = [
    (Kind::Steady, "wasm", Some("pass"), "cpu"),
    (Kind::Software, "webgpu", Some("pass"), "software"),
    (Kind::Fallback, "webnn", Some("pass"), "fallback"),
    (Kind::Flaky, "webgpu", Some("pass"), "hardware"),
    (Kind::Wrong, "webgpu", Some("wrong"), "hardware"),
    (Kind::Crash, "wasm", Some("crash"), "none"),
    (Kind::Error, "wasm", Some("error"), "cpu"),
    (Kind::Absent, "webnn", Some("unsupported"), "none"),
    (Kind::Open, "wasm", None, "none"),
];

const RUN: &str = "01HOSTILE";

/// The cells in the plan's order.
pub(crate) fn cells() -> Vec<(Kind, String)> {
    let id = |kind: Kind, backend: &str| {
        let profile = format!("{kind:?}").to_lowercase();
        (kind, format!("{BROWSER}/{MODEL}@tiny/webmatrix/{backend}/fp32/{profile}"))
    };
    KINDS.iter().map(|(kind, backend, ..)| id(*kind, backend)).collect()
}

fn open(folder: &Path) -> Connection {
    let file = folder.join("webmatrix-out/webmatrix.duckdb");
    Connection::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn insert(db: &Connection, table: &str, values: &[&dyn duckdb::ToSql]) {
    let places = vec!["?"; values.len()].join(", ");
    db.execute(&format!("INSERT INTO {table} VALUES ({places})"), values)
        .unwrap_or_else(|error| panic!("{table}: {error}"));
}

/// Puts the run's rows where the program looks for its database.
pub(crate) fn database(folder: &Path) {
    let file = folder.join("webmatrix-out/webmatrix.duckdb");
    drop(Database::open(&file).unwrap_or_else(|error| panic!("{error}")));
    let db = open(folder);
    insert(
        &db,
        "run (run, matrix, started_at, ended_at, exit_code, interrupted, arguments, plan, webmatrix_version, wire_version, harness)",
        params![
            RUN,
            MODEL,
            "2026-01-01 00:00:00",
            "2026-01-01 00:01:00",
            1,
            false,
            "[]",
            "{}",
            "0.1.0",
            1,
            "abc"
        ],
    );
    insert(&db, "environment", params![RUN, "os", "linux"]);
    insert(&db, "environment", params![RUN, REASON, REASON]);
    insert(
        &db,
        "browser",
        params![RUN, BROWSER, "chromium", "156.0", "stable", MODEL, MODEL, MODEL, None::<String>],
    );
    // A user agent that is another's.
    let facts =
        json!({ "user_agent": MODEL, "flags": { "requested": [MODEL], "effective": null, "missing": [] } });
    insert(
        &db,
        "session",
        params!["S1", RUN, BROWSER, "2026-01-01 00:00:01", 1.0, "156.0", facts.to_string()],
    );
    for (ordinal, ((kind, backend, status, evidence), (_, id))) in KINDS.iter().zip(cells()).enumerate() {
        cell(&db, u32::try_from(ordinal).unwrap_or_default(), *kind, (backend, *status, evidence), &id);
    }
    insert(
        &db,
        "op_case",
        params![
            RUN,
            BROWSER,
            "webgpu",
            MODEL,
            0,
            MODEL,
            "float32",
            "pass",
            false,
            "software",
            None::<String>,
            0.0,
            0.5,
            None::<String>,
            None::<String>
        ],
    );
}

fn cell(db: &Connection, ordinal: u32, kind: Kind, is: (&str, Option<&str>, &str), id: &str) {
    let (backend, status, evidence) = is;
    let attempt = format!("A{ordinal}");
    let ran = !matches!(kind, Kind::Absent | Kind::Open);
    let reason = (!matches!(kind, Kind::Steady | Kind::Flaky)).then_some(REASON);
    let flaky = kind == Kind::Flaky;
    let ok = status == Some("pass");
    let agreement = json!({ "ok": ok, "reference": MODEL, "outputs": [
        { "name": MODEL, "ok": ok, "elements": 4, "max_abs": 1e-6, "max_rel": 1e-6, "cosine": 0.999_999,
          "fault": if ok { None } else { Some(REASON) } }
    ] });
    let agreement = (ok || kind == Kind::Wrong).then(|| agreement.to_string());
    insert(
        db,
        "cell (run, cell, ordinal, browser, model, size, runtime, backend, \"precision\", profile, status, flaky, evidence, \
         implementation, reason, reference, agreement, attempt, wall_ms, page_ms)",
        params![
            RUN,
            id,
            ordinal,
            BROWSER,
            MODEL,
            "tiny",
            "webmatrix",
            backend,
            "fp32",
            format!("{kind:?}").to_lowercase(),
            status,
            flaky,
            evidence,
            None::<String>,
            reason,
            MODEL,
            agreement,
            ran.then_some(&attempt),
            12.5,
            10.0
        ],
    );
    if !ran {
        return;
    }
    let adapter = json!({ "vendor": "<b>nv</b>", "architecture": "x", "device": MODEL, "description": "",
                          "is_fallback": false, "subgroup_min_size": 0, "subgroup_max_size": 0 });
    let facts = json!({ "backend": backend, "steps_down": [], "adapter": if flaky { Some(adapter) } else { None },
                        "webnn_device_type": null, "challenge": null, "ops": [], "dispatches": 3 });
    if flaky {
        try_(db, "A-first", id, 1, "crash", REASON, None);
    }
    try_(
        db,
        &attempt,
        id,
        1 + u32::from(flaky),
        status.unwrap_or_default(),
        REASON,
        Some(&facts.to_string()),
    );
    if ok {
        for index in 0..10_u32 {
            insert(db, "sample", params![attempt, index, false, f64::from(index + 1)]);
        }
    }
    insert(db, "log_line", params![attempt, "page", 0, None::<f64>, "error", REASON]);
}

fn try_(
    db: &Connection,
    attempt: &str,
    cell: &str,
    number: u32,
    status: &str,
    reason: &str,
    facts: Option<&str>,
) {
    insert(
        db,
        "attempt (attempt, run, cell, browser, number, session, started_at, wall_ms, job, facts, \"end\", status, reason)",
        params![
            attempt,
            RUN,
            cell,
            BROWSER,
            number,
            "S1",
            format!("2026-01-01 00:00:0{number}"),
            12.5,
            "{}",
            facts,
            "done",
            status,
            reason
        ],
    );
}

/// Adds another browser, with a single cell that is proven, to the run.
pub(crate) fn second_browser(folder: &Path) {
    let db = open(folder);
    let none = None::<String>;
    insert(&db, "browser", params![RUN, "firefox", "firefox", "140.0", "release", "", "", "", none]);
    insert(
        &db,
        "cell (run, cell, ordinal, browser, model, size, runtime, backend, \"precision\", profile, status, flaky, evidence, \
         agreement, attempt)",
        params![
            RUN,
            "firefox/bert@tiny/webmatrix/wasm/fp32/default",
            99,
            "firefox",
            "bert",
            "tiny",
            "webmatrix",
            "wasm",
            "fp32",
            "default",
            "pass",
            false,
            "cpu",
            json!({ "ok": true, "reference": "pytorch-golden", "outputs": [] }).to_string(),
            none
        ],
    );
}
