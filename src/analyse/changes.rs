//! What changed since the last run that had some of the same cells, in words.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Status};

use super::dossier::Dossier;
use super::speed;
use super::stats::{Estimate, ratio_of_medians_apart};
use super::view::CellView;
use crate::collect::{is_real, is_unexpected};
use crate::store::{PastRow, SampleRow};

/// A change of a median that is worth a person's time; the interval must lie beyond it.
const NOTABLE: f64 = 0.1;

/// What is different, worst first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changes {
    /// The run that this one is held against.
    pub since: String,
    /// When that began, UTC.
    pub started_at: String,
    /// What is different; nothing where nothing is.
    pub lines: Vec<Change>,
    /// Cells that came out as before.
    pub same: usize,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Whether anybody should worry.
    pub kind: ChangeKind,
    /// In a sentence.
    pub says: String,
    /// The cells that it is about, by their place in the run.
    pub cells: Vec<usize>,
}

/// Whether a difference is for the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Something that was proven is not, or fails in another way, or takes longer.
    Worse,
    /// The other way round.
    Better,
    /// Neither.
    Other,
}

/// What a cell came to, then or now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Came {
    status: Option<Status>,
    evidence: EvidenceGrade,
}

impl Came {
    fn then(row: &PastRow) -> Self {
        let evidence = row.evidence.as_ref().and_then(|grade| grade.parse().ok());
        Self {
            status: row.status.as_ref().and_then(|status| status.parse().ok()),
            evidence: evidence.unwrap_or(EvidenceGrade::None),
        }
    }

    fn now(cell: &CellView) -> Self {
        Self { status: cell.status, evidence: cell.evidence }
    }

    fn is_green(self) -> bool {
        self.status == Some(Status::Pass) && is_real(self.evidence)
    }

    fn failed(self) -> bool {
        self.status.is_some_and(is_unexpected)
    }

    fn words(self) -> String {
        match self.status {
            Some(Status::Pass) => format!("pass ({})", self.evidence),
            Some(status) => status.to_string(),
            None => "without a verdict".to_owned(),
        }
    }
}

/// What changed; none without an earlier run of any of its cells.
pub fn changes(dossier: &Dossier) -> Option<Changes> {
    let before = dossier.past.runs.last()?;
    let then: HashMap<&str, &PastRow> = dossier
        .past
        .cells
        .iter()
        .filter(|row| row.run == before.run)
        .map(|row| (row.cell.as_str(), row))
        .collect();
    let mut lines = versions(dossier);
    let mut turned: BTreeMap<(Came, Came), Vec<usize>> = BTreeMap::new();
    let (mut new, mut same) = (Vec::new(), 0);
    for (at, cell) in dossier.view.cells.iter().enumerate() {
        match then.get(cell.id.as_str()) {
            None => new.push(at),
            Some(row) if Came::then(row).words() == Came::now(cell).words() => same += 1,
            Some(row) => turned.entry((Came::then(row), Came::now(cell))).or_default().push(at),
        }
    }
    lines.extend(turned.into_iter().map(|((then, now), cells)| turn(then, now, cells)));
    let not_run = then.len() + new.len() - dossier.view.cells.len();
    if !new.is_empty() {
        let says = format!("{} new: that run did not have {}.", are(new.len()), them(new.len()));
        lines.push(Change { kind: ChangeKind::Other, says, cells: new });
    }
    if not_run > 0 {
        let says = match not_run {
            1 => "1 cell of that run is not in this one.".to_owned(),
            many => format!("{many} cells of that run are not in this one."),
        };
        lines.push(Change { kind: ChangeKind::Other, says, cells: Vec::new() });
    }
    lines.extend(speeds(dossier, &then));
    lines.sort_by_key(|change| change.kind);
    Some(Changes { since: before.run.clone(), started_at: before.started_at.clone(), lines, same })
}

fn are(count: usize) -> String {
    if count == 1 { "1 cell is".to_owned() } else { format!("{count} cells are") }
}

const fn them(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn turn(then: Came, now: Came, cells: Vec<usize>) -> Change {
    let (kind, what) = match (then.is_green(), now.is_green()) {
        (true, false) if now.failed() => (ChangeKind::Worse, "no longer proven"),
        (true, false) => (ChangeKind::Worse, "no longer measured to pass"),
        (false, true) => (ChangeKind::Better, "proven now"),
        (true, true) => (ChangeKind::Other, "proven on other evidence"),
        (false, false) if now.failed() => (ChangeKind::Worse, "not proven, for another reason"),
        (false, false) => (ChangeKind::Other, "not proven, for another reason"),
    };
    let says = format!("{} {what}: {} before, {} now.", are(cells.len()), then.words(), now.words());
    Change { kind, says, cells }
}

/// Browsers and programs that are others now: what explains the rest, often enough.
fn versions(dossier: &Dossier) -> Vec<Change> {
    let mut lines = Vec::new();
    let mut other = |says: String| lines.push(Change { kind: ChangeKind::Other, says, cells: Vec::new() });
    for browser in &dossier.view.browsers {
        let before = dossier.past.browsers.iter().find(|known| known.label == browser.label);
        if let Some(before) = before.filter(|before| before.version != browser.version) {
            let told =
                |version: &str| if version.is_empty() { "absent".to_owned() } else { version.to_owned() };
            other(format!(
                "{} is {} now, and was {}.",
                browser.label,
                told(&browser.version),
                told(&before.version)
            ));
        }
    }
    let (now, before) = (&dossier.view.run, dossier.past.runs.last());
    if before.is_some_and(|before| before.harness != now.harness) {
        other("The harness is another build than then.".to_owned());
    }
    lines
}

/// Cells that take longer or less long than then, by intervals.
fn speeds(dossier: &Dossier, then: &HashMap<&str, &PastRow>) -> Vec<Change> {
    let (before, now) = (timed(&dossier.past.samples), timed(&dossier.samples));
    let mut found: [Vec<(usize, Estimate)>; 2] = [Vec::new(), Vec::new()];
    for (at, (cell, row)) in dossier.view.cells.iter().zip(&dossier.rows).enumerate() {
        let Some(past) = then.get(cell.id.as_str()) else { continue };
        // A time is told of hardware and CPU only, and beside its like.
        let alike = Came::then(past) == Came::now(cell) && cell.is_green();
        if !alike || speed::timed(cell.evidence).is_err() {
            continue;
        }
        let samples = |of: &HashMap<&str, Vec<f64>>, attempt: &Option<String>| {
            of.get(attempt.as_deref().unwrap_or_default()).cloned().unwrap_or_default()
        };
        let (first, second) = (samples(&before, &past.attempt), samples(&now, &row.attempt));
        // Most medians are near one another: drawing anew for them would tell nothing.
        let near = |a: Option<f64>, b: Option<f64>| {
            a.zip(b).is_none_or(|(a, b)| ((1.0 - NOTABLE)..=(1.0 + NOTABLE)).contains(&(b / a)))
        };
        if near(super::median(&first), super::median(&second)) {
            continue;
        }
        let Some(ratio) = ratio_of_medians_apart(&first, &second) else { continue };
        match (ratio.lo, ratio.hi) {
            (Some(lo), _) if lo > 1.0 + NOTABLE => found[0].push((at, ratio)),
            (_, Some(hi)) if hi < 1.0 - NOTABLE => found[1].push((at, ratio)),
            _ => {}
        }
    }
    let [mut slower, mut faster] = found;
    slower.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
    faster.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let line = |kind, found: Vec<(usize, Estimate)>, how: &str| {
        let (_, most) = found.first()?;
        let (lo, hi) = (most.lo?, most.hi?);
        let which = match found.len() {
            1 => format!("1 cell takes {how} than then:"),
            many => format!("{many} cells take {how} than then, the first of them"),
        };
        let says = format!(
            "{which} {:.2} times as long ({lo:.2}–{hi:.2}). The two runs were not made in turn: what changed on the machine \
             meanwhile is a part of it.",
            most.value,
        );
        Some(Change { kind, says, cells: found.into_iter().map(|(at, _)| at).collect() })
    };
    let slower = line(ChangeKind::Worse, slower, "longer");
    slower.into_iter().chain(line(ChangeKind::Better, faster, "less long")).collect()
}

fn timed(samples: &[SampleRow]) -> HashMap<&str, Vec<f64>> {
    let mut by_attempt: HashMap<&str, Vec<f64>> = HashMap::new();
    for sample in samples.iter().filter(|sample| !sample.warmup) {
        by_attempt.entry(&sample.attempt).or_default().push(sample.ms);
    }
    by_attempt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::dossier::Past;
    use crate::analyse::run_view::RunView;
    use crate::store::{BrowserRow, CellRow, RunRow};

    fn run(id: &str) -> RunRow {
        RunRow {
            run: id.into(),
            matrix: "quick".into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            ended_at: None,
            exit_code: None,
            interrupted: None,
            arguments: "[]".into(),
            webmatrix_version: "0.1.0".into(),
            harness: id.into(),
        }
    }

    fn browser(version: &str) -> BrowserRow {
        BrowserRow {
            label: "chromium".into(),
            kind: String::new(),
            version: version.into(),
            channel: String::new(),
            path: String::new(),
            driver: String::new(),
            driver_version: String::new(),
            problem: None,
        }
    }

    /// A cell now, by its name, status, evidence and the milliseconds of its samples.
    type Now<'a> = (&'a str, &'a str, &'a str, f64);

    fn row(&(cell, status, evidence, ms): &Now<'_>) -> CellRow {
        CellRow {
            run: "R2".into(),
            cell: cell.into(),
            browser: "chromium".into(),
            browser_version: String::new(),
            model: cell.into(),
            size: String::new(),
            runtime: String::new(),
            backend: String::new(),
            precision: String::new(),
            profile: String::new(),
            status: Some(status.into()),
            flaky: None,
            evidence: Some(evidence.into()),
            implementation: None,
            reason: None,
            agreement: None,
            accuracy: None,
            perplexity: None,
            attempt: Some(cell.into()),
            wall_ms: None,
            page_ms: None,
            median_ms: Some(ms),
        }
    }

    fn samples(cells: &[Now<'_>]) -> Vec<SampleRow> {
        let of = |&(cell, _, _, ms): &Now<'_>| {
            let sample = move |index| SampleRow { attempt: cell.into(), index, warmup: index == 0, ms };
            (0..7).map(sample).collect::<Vec<_>>()
        };
        cells.iter().flat_map(of).collect()
    }

    fn told(before: &[Now<'_>], now: &[Now<'_>]) -> String {
        let rows: Vec<CellRow> = now.iter().map(row).collect();
        let view = RunView {
            run: run("R2"),
            environment: Vec::new(),
            browsers: vec![browser("157.0")],
            cells: CellView::all(&rows, &[]),
            costs: Vec::new(),
            claims: Vec::new(),
            ops: None,
        };
        let then = |&(cell, status, evidence, ms): &Now<'_>| PastRow {
            run: "R1".into(),
            cell: cell.into(),
            status: Some(status.into()),
            evidence: Some(evidence.into()),
            median_ms: Some(ms),
            attempt: Some(cell.into()),
        };
        let past = Past {
            runs: vec![run("R1")],
            cells: before.iter().map(then).collect(),
            browsers: vec![browser("156.0")],
            samples: samples(before),
        };
        let dossier = Dossier { rows, samples: samples(now), past, ..Dossier::from(view) };
        let found = changes(&dossier).unwrap_or_else(|| panic!("there is an earlier run"));
        let line = |change: &Change| format!("{:?} {:?} {}", change.kind, change.cells, change.says);
        let lines: Vec<String> = found.lines.iter().map(line).collect();
        format!("{}\n{} the same", lines.join("\n"), found.same)
    }

    #[test]
    fn what_is_different_is_told_in_words_and_the_worst_first() {
        let before = [
            ("a", "pass", "cpu", 1.0),
            ("b", "pass", "cpu", 1.0),
            ("c", "unsupported", "none", 1.0),
            ("d", "pass", "software", 1.0),
            ("e", "pass", "cpu", 1.0),
            ("f", "pass", "cpu", 1.0),
            ("g", "pass", "cpu", 1.0),
            ("i", "error", "none", 1.0),
        ];
        let now = [
            ("a", "wrong", "cpu", 1.0),
            ("b", "skipped", "none", 1.0),
            ("c", "pass", "hardware", 1.0),
            ("d", "pass", "hardware", 9.0),
            ("e", "pass", "cpu", 1.5),
            ("f", "pass", "cpu", 0.5),
            ("h", "pass", "cpu", 1.0),
            ("i", "crash", "none", 1.0),
        ];
        insta::assert_snapshot!(told(&before, &now), @r"
        Worse [0] 1 cell is no longer proven: pass (cpu) before, wrong now.
        Worse [1] 1 cell is no longer measured to pass: pass (cpu) before, skipped now.
        Worse [7] 1 cell is not proven, for another reason: error before, crash now.
        Worse [4] 1 cell takes longer than then: 1.50 times as long (1.50–1.50). The two runs were not made in turn: what changed on the machine meanwhile is a part of it.
        Better [2] 1 cell is proven now: unsupported before, pass (hardware) now.
        Better [5] 1 cell takes less long than then: 0.50 times as long (0.50–0.50). The two runs were not made in turn: what changed on the machine meanwhile is a part of it.
        Other [] chromium is 157.0 now, and was 156.0.
        Other [] The harness is another build than then.
        Other [3] 1 cell is proven on other evidence: pass (software) before, pass (hardware) now.
        Other [6] 1 cell is new: that run did not have it.
        Other [] 1 cell of that run is not in this one.
        2 the same
        ");
    }

    #[test]
    fn of_what_is_not_timed_no_speed_is_told() {
        let before =
            [("a", "pass", "software", 1.0), ("b", "pass", "fallback", 1.0), ("c", "pass", "cpu", 1.0)];
        let now =
            [("a", "pass", "software", 9.0), ("b", "pass", "fallback", 9.0), ("c", "pass", "cpu", 1.05)];
        let told = told(&before, &now);
        assert!(told.ends_with("3 the same") && !told.contains("take"), "{told}");
    }

    #[test]
    fn evidence_of_nothing_real_is_no_proof() {
        let told = told(&[("a", "pass", "cpu", 1.0)], &[("a", "pass", "simulated", 1.0)]);
        assert!(
            told.starts_with(
                "Worse [0] 1 cell is no longer measured to pass: pass (cpu) before, pass (simulated) now."
            ),
            "{told}"
        );
    }
}
