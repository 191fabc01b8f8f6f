//! Why a cell has its status, for people.

use std::fmt::Write;

use webmatrix_wire::Status;

use super::text::visible;
use crate::analyse::explanation::{Again, Difference, Explanation, Otherwise};

/// Earlier runs that are listed.
const RUNS: usize = 8;

/// The explanation in plain words.
pub fn render_explanation(told: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_all(&mut text, told).ok();
    text
}

fn write_all(text: &mut String, told: &Explanation) -> std::fmt::Result {
    let status = told.status.map_or("no verdict", Status::as_str);
    writeln!(text, "{}: {status}", line(&told.cell))?;
    writeln!(text, "run {} of {}", line(&told.run), told.started_at)?;
    writeln!(text, "\n{}", line(&told.means))?;
    if let Some(reason) = &told.reason {
        writeln!(text, "{}", line(reason))?;
    }
    section(text, "What stands behind it", told.behind.iter().map(String::as_str))?;
    let outputs = told.outputs.iter().map(|output| {
        let number =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2e}"));
        let word = output.fault.as_deref().unwrap_or("within tolerance");
        format!(
            "{}: {word}, max abs {}, of {} elements",
            output.name,
            number(output.max_abs),
            output.elements
        )
    });
    section(text, "Outputs", outputs)?;
    if told.tries.len() > 1 {
        let tries = told.tries.iter().map(|attempt| {
            let status = attempt.status.as_deref().unwrap_or("no verdict");
            let reason = attempt.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{}. {status} ({}){reason}", attempt.number, attempt.end)
        });
        section(text, "Tries", tries)?;
    }
    section(text, "What the log says", told.log.iter().map(String::as_str))?;
    history(text, told)?;
    if let Some(again) = &told.again {
        run_again(text, again)?;
    }
    section(text, "What to do", told.remedies.iter().map(String::as_str))
}

fn section(
    text: &mut String,
    title: &str,
    lines: impl IntoIterator<Item = impl AsRef<str>>,
) -> std::fmt::Result {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(text, "\n{title}")?;
    lines.try_for_each(|one| writeln!(text, "  {}", line(one.as_ref())))
}

fn history(text: &mut String, told: &Explanation) -> std::fmt::Result {
    if told.history.len() > 1 {
        let from = told.history.len().saturating_sub(RUNS);
        let runs = told.history[from..].iter().map(|past| {
            let here = if past.run == told.run { " (this one)" } else { "" };
            let flaky = if past.flaky == Some(true) { ", flaky" } else { "" };
            format!("{} {}{flaky}{here}", past.started_at, past.status.as_deref().unwrap_or("no verdict"))
        });
        section(text, "In every run", runs)?;
    }
    let Some(Otherwise { run, differences }) = &told.otherwise else { return Ok(()) };
    let status = run.status.as_deref().unwrap_or("no verdict");
    let title = format!("It was {status} in run {}; what was different there", line(&run.run));
    if differences.is_empty() {
        return section(text, &title, ["nothing that is stored: it changes by itself"]);
    }
    section(text, &title, differences.iter().map(difference))
}

fn difference(difference: &Difference) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    format!("{}: {} there, {} here", difference.what, value(&difference.there), value(&difference.here))
}

fn run_again(text: &mut String, again: &Again) -> std::fmt::Result {
    if let Some(refused) = &again.refused {
        return section(text, "Run again", [format!("it could not be: {refused}")]);
    }
    let status = again.status.map_or("no verdict", Status::as_str);
    let reason = again.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let trace = again.trace.iter().map(|trace| format!("trace: {trace}"));
    section(text, "Run again", std::iter::once(format!("{status}{reason}")).chain(trace))?;
    if again.ablation.is_empty() {
        return Ok(());
    }
    let (changes, none): (Vec<_>, Vec<_>) =
        again.ablation.iter().partition(|ablated| ablated.status != again.status);
    let changes: Vec<String> = changes
        .iter()
        .map(|ablated| {
            let status = ablated.status.map_or("no verdict", Status::as_str);
            let reason = ablated.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("without {}: {status}{reason}", ablated.without)
        })
        .collect();
    if changes.is_empty() {
        section(
            text,
            "Switches",
            [format!("none of {} changes its status when left out by itself", none.len())],
        )
    } else {
        section(text, &format!("Switches that matter, of {}", again.ablation.len()), changes)
    }
}

/// Text of browsers in one line, with nothing that a terminal would act on.
fn line(text: &str) -> String {
    visible(&text.replace(['\n', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::EvidenceGrade;

    use super::*;
    use crate::analyse::explanation::{Ablated, Try};
    use crate::store::HistoryRow;

    fn past(run: &str, status: &str) -> HistoryRow {
        HistoryRow {
            run: run.into(),
            started_at: "2026-01-01".into(),
            status: Some(status.into()),
            flaky: Some(run == "R1"),
            evidence: None,
        }
    }

    #[test]
    fn an_explanation_is_read_from_top_to_bottom() {
        let attempt = |number: u32, status: &str| Try {
            number,
            end: "done".into(),
            status: Some(status.into()),
            reason: (status != "pass").then(|| "no\nluck".into()),
            wall_ms: None,
        };
        let switch = |what: &str| Difference { what: what.into(), there: Some("1".into()), here: None };
        let ablated = |without: &str, status| Ablated {
            without: without.into(),
            status: Some(status),
            reason: (status != Status::Pass).then(|| "WebGPU: absent".into()),
        };
        let told = Explanation {
            version: 1,
            cell: "a/b@tiny/webmatrix/webgpu/fp32/default".into(),
            run: "R2".into(),
            started_at: "2026-01-02".into(),
            status: Some(Status::Pass),
            evidence: EvidenceGrade::Software,
            flaky: true,
            means: "b@tiny ran and gave the right answer.".into(),
            reason: Some("the adapter is \u{202e}swiftshader\u{1b}[31m, a program".into()),
            behind: vec!["webgpu computed".into()],
            outputs: Vec::new(),
            tries: vec![attempt(1, "crash"), attempt(2, "pass")],
            log: vec!["page: lost".into()],
            history: vec![past("R1", "wrong"), past("R2", "pass")],
            otherwise: Some(Otherwise { run: past("R1", "wrong"), differences: vec![switch("adapter")] }),
            remedies: vec!["nothing".into()],
            again: Some(Again {
                status: Some(Status::Pass),
                ablation: vec![ablated("--a", Status::Pass), ablated("pref b", Status::Unsupported)],
                ..Again::default()
            }),
        };
        insta::assert_snapshot!(render_explanation(&told), @r"
        a/b@tiny/webmatrix/webgpu/fp32/default: pass
        run R2 of 2026-01-02

        b@tiny ran and gave the right answer.
        the adapter is \u{202e}swiftshader\u{1b}[31m, a program

        What stands behind it
          webgpu computed

        Tries
          1. crash (done): no luck
          2. pass (done)

        What the log says
          page: lost

        In every run
          2026-01-01 wrong, flaky
          2026-01-01 pass (this one)

        It was wrong in run R1; what was different there
          adapter: 1 there, none here

        Run again
          pass

        Switches that matter, of 2
          without pref b: unsupported: WebGPU: absent

        What to do
          nothing
        ");
    }
}
