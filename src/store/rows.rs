//! Rows, as analysis and reports read them.

use duckdb::Row;
use serde::Serialize;

/// A row type, its columns in the order of its query.
macro_rules! rows {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)+ }

        impl $name {
            pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
                let mut columns = 0_usize..;
                let mut next = || columns.next().unwrap_or_default();
                Ok(Self { $($field: row.get(next())?,)+ })
            }
        }
    };
}
pub(super) use rows;

rows! {
    /// A run.
    RunRow {
        /// Its id.
        run: String,
        /// The matrix's name.
        matrix: String,
        /// UTC, RFC 3339.
        started_at: String,
        /// UTC, RFC 3339; none if it did not end.
        ended_at: Option<String>,
        /// None if it did not end.
        exit_code: Option<u8>,
        /// None if it did not end.
        interrupted: Option<bool>,
        /// The command line, JSON list.
        arguments: String,
        /// This program's version then.
        webmatrix_version: String,
        /// Hash over the harness builds.
        harness: String,
    }
}

rows! {
    /// A fact about a run's machine.
    EnvironmentRow {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    }
}

rows! {
    /// A browser of a run.
    BrowserRow {
        /// Its label.
        label: String,
        /// Its kind.
        kind: String,
        /// As the running browser tells it, else as its program does.
        version: String,
        /// Its channel.
        channel: String,
        /// Its program.
        path: String,
        /// Its driver's program.
        driver: String,
        /// Its driver's version.
        driver_version: String,
        /// Why it cannot be used.
        problem: Option<String>,
    }
}

rows! {
    /// A cell of a run.
    CellRow {
        /// The run.
        run: String,
        /// The cell's id.
        cell: String,
        /// The browser's label.
        browser: String,
        /// As the running browser tells it, else as its program does; empty if not known.
        browser_version: String,
        /// The model's class.
        model: String,
        /// The model's size.
        size: String,
        /// What drives the page.
        runtime: String,
        /// The backend asked for.
        backend: String,
        /// Precision of the weights.
        precision: String,
        /// The profile.
        profile: String,
        /// None without a verdict.
        status: Option<String>,
        /// Passed only on a retry.
        flaky: Option<bool>,
        /// The grade.
        evidence: Option<String>,
        /// What kind of implementation answered.
        implementation: Option<String>,
        /// Why not a pass, or why the evidence is not better.
        reason: Option<String>,
        /// Output by output, JSON.
        agreement: Option<String>,
        /// What the precision costs, JSON.
        accuracy: Option<String>,
        /// How surprised it is by the texts that it was given, JSON.
        perplexity: Option<String>,
        /// The attempt that decided.
        attempt: Option<String>,
        /// Navigation to last message.
        wall_ms: Option<f64>,
        /// The page's own work.
        page_ms: Option<f64>,
        /// Median of the timed inferences of the deciding attempt.
        median_ms: Option<f64>,
    }
}

rows! {
    /// An op case on one backend of one browser. Its fields, in this order, are the stable machine form (`jsonl`).
    OpCaseRow {
        /// The browser's label.
        browser: String,
        /// As the running browser tells it, else as its program does; empty if not known.
        browser_version: String,
        /// What was to execute the op.
        backend: String,
        /// The op.
        op: String,
        /// The case: the op's name and what is particular.
        case: String,
        /// Of the data it works on.
        dtype: String,
        /// The status.
        status: String,
        /// Passed only on a retry.
        flaky: bool,
        /// The grade.
        evidence: String,
        /// What kind of implementation answered.
        implementation: Option<String>,
        /// Largest `|y - oracle|`.
        max_abs: Option<f64>,
        /// Largest part of its tolerance that an element uses.
        ratio: Option<f64>,
        /// Why it is not a pass.
        error: Option<String>,
        /// The run.
        run: String,
    }
}

rows! {
    /// An attempt.
    AttemptRow {
        /// Its id.
        attempt: String,
        /// Its cell; none for a probe or op cases.
        cell: Option<String>,
        /// The browser's label.
        browser: String,
        /// 1 for the first try.
        number: u32,
        /// Its browser session.
        session: Option<String>,
        /// UTC, RFC 3339.
        started_at: String,
        /// None if it never ended.
        wall_ms: Option<f64>,
        /// The page's own work.
        page_ms: Option<f64>,
        /// The harness build.
        variant: Option<String>,
        /// What the page says ran.
        backend: Option<String>,
        /// What the page says about that, JSON.
        facts: Option<String>,
        /// How it ended.
        end: Option<String>,
        /// What this attempt alone makes of its cell.
        status: Option<String>,
        /// The grade of this attempt alone.
        evidence: Option<String>,
        /// Why not a pass.
        reason: Option<String>,
    }
}

rows! {
    /// A browser process.
    SessionRow {
        /// Its id.
        session: String,
        /// The browser's label.
        browser: String,
        /// As the running browser tells it.
        version: String,
        /// Driver start to usable browser.
        start_ms: f64,
        /// Flags, preferences, capabilities, JSON.
        facts: String,
    }
}

rows! {
    /// A timed inference.
    SampleRow {
        /// The attempt: what samples are listed under.
        #[serde(skip)]
        attempt: String,
        /// Counts up from 0, warm-ups first.
        index: u32,
        /// Whether it is a warm-up.
        warmup: bool,
        /// Milliseconds.
        ms: f64,
    }
}

rows! {
    /// A named number.
    MetricRow {
        /// The attempt.
        attempt: String,
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
        /// Its unit.
        unit: String,
    }
}

rows! {
    /// What executed an op.
    OpRow {
        /// The attempt.
        attempt: String,
        /// The op.
        op: String,
        /// What executed it.
        backend: String,
        /// Times per inference.
        count: u64,
    }
}

rows! {
    /// A thing that a probe tried or was told.
    CapabilityRow {
        /// The browser's label.
        browser: String,
        /// `webgpu webnn wasm environment timers`.
        area: String,
        /// What was tried.
        name: String,
        /// The interface exists.
        present: bool,
        /// It answered correctly.
        usable: bool,
        /// In the browser's words.
        error: Option<String>,
        /// Milliseconds it took.
        ms: Option<f64>,
        /// What was learned, JSON.
        facts: Option<String>,
    }
}

rows! {
    /// A thing that an attempt's outputs say.
    AnswerRow {
        /// The attempt.
        attempt: String,
        /// Of the batch, from 0.
        item: u32,
        /// The best is 0.
        rank: u32,
        /// `label ranking box text tokens embedding`.
        task: String,
        /// A label, a text, token ids, or which other item.
        text: String,
        /// A probability, or a cosine.
        score: Option<f64>,
        /// Of a box, in pixels.
        x0: Option<f64>,
        /// Top.
        y0: Option<f64>,
        /// Right.
        x1: Option<f64>,
        /// Bottom.
        y1: Option<f64>,
    }
}

rows! {
    /// What a page uploaded.
    OutputsRow {
        /// The attempt.
        attempt: String,
        /// Relative to the output folder.
        file: String,
        /// Hash of its bytes.
        sha256: String,
    }
}

rows! {
    /// A line of a log.
    LogRow {
        /// The attempt.
        attempt: String,
        /// `page` or `driver`.
        source: String,
        /// Its level.
        level: String,
        /// The line.
        text: String,
    }
}

rows! {
    /// Where a cell leaves the oracle.
    TraceRow {
        /// The cell.
        cell: String,
        /// UTC, RFC 3339.
        traced_at: String,
        /// The run in which it was traced, where that is not its own.
        traced_by: Option<String>,
        /// Where, in a sentence.
        says: String,
        /// How far each part of the model is off, JSON list.
        layers: String,
    }
}
