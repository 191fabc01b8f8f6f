//! What the gate says, as a document.

use std::fmt::Write;

use super::RenderError;
use super::markdown::escape;
use crate::analyse::gate::{Conclusion, Confirmed, FigureLine, Gate, Meaning, Named, StatusLine};
use crate::error::ExitStatus;

/// The documents that a gate's verdict can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GateFormat {
    /// For people, in a terminal.
    Text,
    /// One document with everything: the stable machine form.
    Json,
    /// For people, in a pull request.
    Markdown,
}

/// The verdict in the format asked for.
///
/// # Errors
/// If the values do not fit JSON: a fault of this program.
pub fn render_gate(gate: &Gate, format: GateFormat) -> Result<String, RenderError> {
    let mut text = String::new();
    match format {
        GateFormat::Json => return Ok(serde_json::to_string_pretty(gate)? + "\n"),
        // Writing to a string cannot fail.
        GateFormat::Text => lines(&mut text, gate, &Plain).ok(),
        GateFormat::Markdown => lines(&mut text, gate, &Marked).ok(),
    };
    Ok(text)
}

/// How a document looks.
trait Look {
    fn title(&self, text: &str) -> String;
    fn item(&self, text: &str) -> String;
    fn id(&self, text: &str) -> String;
    fn words(&self, text: &str) -> String;
}

struct Plain;
struct Marked;

impl Look for Plain {
    fn title(&self, text: &str) -> String {
        format!("{text}\n")
    }
    fn item(&self, text: &str) -> String {
        format!("  {text}\n")
    }
    fn id(&self, text: &str) -> String {
        text.to_owned()
    }
    fn words(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Look for Marked {
    fn title(&self, text: &str) -> String {
        format!("\n### {text}\n\n")
    }
    fn item(&self, text: &str) -> String {
        format!("- {text}\n")
    }
    fn id(&self, text: &str) -> String {
        format!("`{}`", text.replace('`', "'"))
    }
    fn words(&self, text: &str) -> String {
        escape(text)
    }
}

fn lines(text: &mut String, gate: &Gate, look: &dyn Look) -> std::fmt::Result {
    text.push_str(&look.title(&headline(gate)));
    text.push_str(&look.item(&format!("run {}", named(&gate.run, look))));
    let history =
        if gate.history == 0 { String::new() } else { format!(", and {} runs before it", gate.history) };
    text.push_str(&look.item(&format!("baseline {}{history}", named(&gate.baseline, look))));
    for reason in gate.no_times.iter().map(|why| format!("times are not compared: {why}")) {
        text.push_str(&look.item(&look.words(&reason)));
    }
    if let Some(why) = &gate.not_tried {
        text.push_str(&look.item(&look.words(&format!("nothing was run again: {why}"))));
    }
    let expired = gate.expired.iter().map(|failure| {
        let (until, why) = (failure.until, look.words(&failure.reason));
        format!("{}: over since {until} ({why}): renew it or take it out", look.id(&failure.cells))
    });
    section(text, look, "Known failures that are over", expired.collect());
    let alarm = |line: &&StatusLine| line.is_alarm();
    let of = |meaning: Meaning| move |line: &&StatusLine| line.meaning == meaning;
    let statuses = |is: &dyn Fn(&&StatusLine) -> bool| -> Vec<String> {
        gate.statuses.iter().filter(is).map(|line| status(line, look)).collect()
    };
    let figures = |is: &dyn Fn(&&FigureLine) -> bool| -> Vec<String> {
        gate.figures.iter().filter(is).map(|line| figure(line, look)).collect()
    };
    let concluded = |conclusion: Conclusion| move |line: &&FigureLine| line.conclusion == conclusion;
    section(text, look, "Regressions of status", statuses(&alarm));
    section(text, look, "Regressions", figures(&|line| line.is_alarm() && line.confirmed == Confirmed::Yes));
    section(
        text,
        look,
        "Slower or larger, not confirmed",
        figures(&|line| line.conclusion == Conclusion::Regression && line.confirmed != Confirmed::Yes),
    );
    section(
        text,
        look,
        "Seen once, and not again",
        statuses(&|line| {
            matches!(line.meaning, Meaning::Regression | Meaning::Weaker) && line.confirmed == Confirmed::No
        }),
    );
    section(text, look, "Another version of the browser lacks it", statuses(&of(Meaning::BrowserChanged)));
    section(
        text,
        look,
        "Known",
        [statuses(&of(Meaning::Known)), figures(&concluded(Conclusion::Known))].concat(),
    );
    section(text, look, "Fixed", statuses(&of(Meaning::Fixed)));
    section(text, look, "Improvements", figures(&concluded(Conclusion::Improvement)));
    section(text, look, "Otherwise changed", statuses(&of(Meaning::Other)));
    section(
        text,
        look,
        "Large, and within what runs differ by",
        figures(&concluded(Conclusion::WithinNoise)),
    );
    let passed = gate.passed.iter().map(|failure| {
        format!("{}: no cell shows it ({})", look.id(&failure.cells), look.words(&failure.reason))
    });
    section(text, look, "Known failures to take out", passed.collect());
    let visible = gate.visible.iter().map(|(metric, visible)| {
        format!("{metric}: a change for the worse of {} would have been seen 4 times of 5", percent(*visible))
    });
    section(text, look, "What this run could have seen (medians over cells)", visible.collect());
    writeln!(text)
}

fn section(text: &mut String, look: &dyn Look, title: &str, items: Vec<String>) {
    if !items.is_empty() {
        text.push_str(&look.title(title));
        items.iter().for_each(|item| text.push_str(&look.item(item)));
    }
}

fn headline(gate: &Gate) -> String {
    let alarms = gate.alarming().len();
    let verdict = match gate.exit_status() {
        ExitStatus::Unexpected if alarms > 0 => format!("worse: {alarms} cells raise an alarm"),
        ExitStatus::Unexpected => "known failures are over".to_owned(),
        ExitStatus::TooLittleEvidence => "no cell passes in both: nothing was shown".to_owned(),
        _ => "no regression was shown".to_owned(),
    };
    format!("{verdict} ({} green cells compared, {} statuses unchanged)", gate.compared, gate.unchanged)
}

fn named(run: &Named, look: &dyn Look) -> String {
    let branch =
        run.branch.as_ref().map(|branch| format!(", branch {}", look.words(branch))).unwrap_or_default();
    let commit = run.commit.as_ref().map(|commit| format!(" {}", commit.get(..12).unwrap_or(commit)));
    let commit = commit.unwrap_or_default();
    format!("{} ({}, {}{branch}{commit})", look.id(&run.run), look.words(&run.matrix), run.started_at)
}

fn status(line: &StatusLine, look: &dyn Look) -> String {
    let change = match (&line.before, &line.after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(before), None) => format!("{before} → deleted"),
        (None, Some(after)) => format!("added: {after}"),
        (None, None) => String::new(),
    };
    let confirmed = match line.confirmed {
        Confirmed::Yes => ", seen again in a fresh browser",
        Confirmed::No | Confirmed::NotTried => "",
    };
    let note = line.note.as_ref().map(|note| format!(": {}", look.words(note))).unwrap_or_default();
    format!("{} {change}{confirmed}{note}", look.id(&line.cell))
}

fn figure(line: &FigureLine, look: &dyn Look) -> String {
    let interval = match (line.ratio.lo, line.ratio.hi) {
        (Some(lo), Some(hi)) => format!(" ({lo:.3}–{hi:.3})"),
        _ => String::new(),
    };
    let fence = line.fence.map(|(lo, hi)| format!(", runs keep within {lo:.3}–{hi:.3}")).unwrap_or_default();
    let note = line.note.as_ref().map(|note| format!(", {}", look.words(note))).unwrap_or_default();
    format!(
        "{} {}: {} → {}, ratio {:.3}{interval} to {} run{}{fence}{note}",
        look.id(&line.cell),
        line.metric,
        number(line.before),
        number(line.after),
        line.ratio.value,
        line.runs,
        if line.runs == 1 { "" } else { "s" },
    )
}

fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
