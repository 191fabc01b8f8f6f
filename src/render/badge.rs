//! Badges as shields.io's endpoint takes them: one for everything, and one for each browser.
//!
//! Green says that something is proven and that nothing failed; a run that did not end, or that has nothing to show but
//! fallbacks, is not green.

use serde::Serialize;
use webmatrix_wire::EvidenceGrade;

use super::RenderError;
use super::text::first_line;
use crate::analyse::dossier::Dossier;
use crate::analyse::exported::{Outcome, suites};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Badge {
    schema_version: u32,
    label: String,
    message: String,
    color: &'static str,
}

/// Cases by what became of them.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Proven on what was asked for.
    proven: usize,
    /// Proven on a software GPU.
    software: usize,
    /// Right, by another backend than the one asked for.
    fallback: usize,
    failed: usize,
    open: usize,
}

/// The badge of everything, then those of browsers, by label.
pub(super) fn render(runs: &[Dossier]) -> Result<Vec<(String, String)>, RenderError> {
    let mut all = Counts::default();
    let mut browsers: Vec<(String, Counts)> = Vec::new();
    let suites: Vec<_> = runs.iter().flat_map(suites).collect();
    for suite in &suites {
        let at = match browsers.iter().position(|(label, _)| label == suite.browser) {
            Some(at) => at,
            None => {
                browsers.push((suite.browser.to_owned(), Counts::default()));
                browsers.len() - 1
            }
        };
        for case in &suite.cases {
            for counts in [&mut all, &mut browsers[at].1] {
                counts.add(case.outcome, case.evidence);
            }
        }
    }
    let mut badges = vec![(String::new(), text("webmatrix", all)?)];
    for (label, counts) in browsers {
        let text = text(&format!("webmatrix {}", first_line(&label)), counts)?;
        badges.push((label, text));
    }
    Ok(badges)
}

fn text(label: &str, counts: Counts) -> Result<String, RenderError> {
    let badge = Badge {
        schema_version: 1,
        label: label.to_owned(),
        message: counts.message(),
        color: counts.color(),
    };
    Ok(serde_json::to_string_pretty(&badge)? + "\n")
}

impl Counts {
    fn add(&mut self, outcome: Outcome, evidence: EvidenceGrade) {
        let count = match (outcome, evidence) {
            (Outcome::Proven, EvidenceGrade::Fallback) => &mut self.fallback,
            (Outcome::Proven, EvidenceGrade::Software) => &mut self.software,
            (Outcome::Proven, _) => &mut self.proven,
            (Outcome::Wrong | Outcome::Broken, _) => &mut self.failed,
            (Outcome::Open, _) => &mut self.open,
            (Outcome::Absent, _) => return,
        };
        *count += 1;
    }

    /// What there is of each kind, counted; never nothing.
    fn message(self) -> String {
        let told = [
            (self.proven, "proven"),
            (self.software, "on software"),
            (self.fallback, "by fallback"),
            (self.failed, "failed"),
            (self.open, "open"),
        ];
        let told: Vec<String> = told
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if told.is_empty() { "nothing ran".to_owned() } else { told.join(", ") }
    }

    const fn color(self) -> &'static str {
        match self {
            Self { failed: 1.., .. } => "red",
            Self { open: 1.., .. } => "yellow",
            Self { proven: 0, software: 0, fallback: 0, .. } => "lightgrey",
            Self { fallback: 1.., .. } => "yellow",
            Self { software: 1.., .. } => "green",
            _ => "brightgreen",
        }
    }
}
