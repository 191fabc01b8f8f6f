//! What a verification found, output by output.

use serde::Serialize;
use webmatrix_wire::{Backend, EvidenceGrade, Implementation, Precision, Status};

use super::outcome::{Tally, exit_status};
use crate::collect::{OutputAgreement, Verdict, is_real};
use crate::error::ExitStatus;
use crate::plan::Cell;

/// One output of one cell. The fields and their order are those of a line of `--format jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputLine {
    /// The browser's label.
    pub browser: String,
    /// What executed the graph.
    pub backend: Backend,
    /// Of the weights.
    pub precision: Precision,
    /// The output's name.
    pub output: String,
    /// As [`OutputAgreement::max_abs`]; none where nothing was compared.
    pub max_abs: Option<f64>,
    /// As [`OutputAgreement::max_rel`]; none where nothing was compared.
    pub max_rel: Option<f64>,
    /// As [`OutputAgreement::cosine`]; none where nothing was compared.
    pub cosine: Option<f64>,
    /// The verdict on this output.
    pub status: Status,
    /// What stands behind it.
    pub evidence: EvidenceGrade,
    /// What kind of implementation answered, if one did.
    pub implementation: Option<Implementation>,
    /// Why it is not a pass.
    pub error: Option<String>,
}

/// A line for each output that is expected of a cell, in order.
///
/// An output passes if it agrees and something real stands behind it: another output of the same cell
/// may be wrong, but a cell that ended badly in any other way has no output that passes.
pub fn output_lines(cell: &Cell, verdict: Option<&Verdict>, expected: &[String]) -> Vec<OutputLine> {
    let stopped = || Verdict::nothing_ran(Status::Skipped, "the run was stopped before this cell's end");
    let verdict = verdict.cloned().unwrap_or_else(stopped);
    let compared = verdict.agreement.as_ref().map_or(&[][..], |agreement| &agreement.outputs);
    let line = |name: &String| {
        let output = compared.iter().find(|output| output.name == *name);
        let (status, error) = of_output(&verdict, output);
        OutputLine {
            browser: cell.browser.clone(),
            backend: cell.backend,
            precision: cell.precision,
            output: name.clone(),
            max_abs: output.and_then(|output| output.max_abs),
            max_rel: output.and_then(|output| output.max_rel),
            cosine: output.and_then(|output| output.cosine),
            status,
            evidence: verdict.evidence,
            implementation: verdict.implementation,
            error,
        }
    };
    expected.iter().map(line).collect()
}

fn of_output(verdict: &Verdict, output: Option<&OutputAgreement>) -> (Status, Option<String>) {
    let reason = || verdict.reason.clone().or_else(|| Some("it does not say why".to_owned()));
    match (verdict.status, output) {
        (Status::Pass, Some(OutputAgreement { ok: true, .. })) if is_real(verdict.evidence) => {
            (Status::Pass, None)
        }
        // Another output made the cell wrong; this one agrees.
        (Status::Wrong, Some(OutputAgreement { ok: true, .. })) if is_real(verdict.evidence) => {
            (Status::Pass, None)
        }
        (Status::Wrong, Some(OutputAgreement { ok: false, fault, .. })) => {
            (Status::Wrong, fault.clone().or_else(reason))
        }
        (Status::Wrong, None) => (Status::Wrong, reason()),
        // A cell that passed without this output having been compared, or without evidence: neither can
        // come from a judge, and neither is a pass.
        (Status::Pass | Status::Wrong, _) => {
            (Status::Error, Some("nothing proves what made this output".to_owned()))
        }
        (status, _) => (status, reason()),
    }
}

/// How a verification exits: as a run, except that what was left out for want of time was wanted.
pub fn verification_status(tally: &Tally, missing: &[String]) -> ExitStatus {
    let skipped = tally.by_status.get(&Status::Skipped).is_some_and(|count| *count > 0);
    match exit_status(tally, missing) {
        ExitStatus::AsExpected if skipped => ExitStatus::Unexpected,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Agreement;

    fn output(name: &str, fault: Option<&str>) -> OutputAgreement {
        OutputAgreement {
            name: name.to_owned(),
            ok: fault.is_none(),
            elements: 1,
            max_abs: Some(0.5),
            max_rel: None,
            cosine: Some(1.0),
            fault: fault.map(str::to_owned),
        }
    }

    fn verdict(status: Status, evidence: EvidenceGrade, outputs: Option<Vec<OutputAgreement>>) -> Verdict {
        Verdict {
            status,
            evidence,
            implementation: Some(Implementation::Native),
            agreement: outputs.map(|outputs| Agreement {
                ok: outputs.iter().all(|output| output.ok),
                reference: "given".to_owned(),
                outputs,
            }),
            accuracy: None,
            perplexity: None,
            reason: (status != Status::Pass).then(|| "the cell's reason".to_owned()),
        }
    }

    fn lines(verdict: Option<&Verdict>) -> String {
        let cell = "native/bert@own/webmatrix/native-cpu/fp32/default".parse();
        let cell = cell.unwrap_or_else(|error| panic!("{error}"));
        let lines = output_lines(&cell, verdict, &["a".to_owned(), "b".to_owned()]);
        let line = |line: &OutputLine| {
            format!("{} {} {}", line.output, line.status, line.error.as_deref().unwrap_or("-"))
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_output_has_a_verdict_of_its_own() {
        let both = |fault| Some(vec![output("a", None), output("b", fault)]);
        insta::assert_snapshot!(lines(Some(&verdict(Status::Pass, EvidenceGrade::Cpu, both(None)))), @r"
        a pass -
        b pass -
        ");
        insta::assert_snapshot!(lines(Some(&verdict(Status::Wrong, EvidenceGrade::Cpu, both(Some("off"))))), @r"
        a pass -
        b wrong off
        ");
    }

    #[test]
    fn nothing_passes_without_proof() {
        let both = || Some(vec![output("a", None), output("b", Some("off"))]);
        insta::assert_snapshot!(lines(Some(&verdict(Status::Wrong, EvidenceGrade::None, both()))), @r"
        a error nothing proves what made this output
        b wrong off
        ");
        insta::assert_snapshot!(lines(Some(&verdict(Status::Pass, EvidenceGrade::Cpu, Some(vec![output("a", None)])))), @r"
        a pass -
        b error nothing proves what made this output
        ");
        insta::assert_snapshot!(lines(Some(&verdict(Status::Error, EvidenceGrade::None, both()))), @r"
        a error the cell's reason
        b error the cell's reason
        ");
        insta::assert_snapshot!(lines(Some(&verdict(Status::Wrong, EvidenceGrade::Cpu, None))), @r"
        a wrong the cell's reason
        b wrong the cell's reason
        ");
        insta::assert_snapshot!(lines(Some(&verdict(Status::Crash, EvidenceGrade::Cpu, None))), @r"
        a crash the cell's reason
        b crash the cell's reason
        ");
        insta::assert_snapshot!(lines(None), @r"
        a skipped the run was stopped before this cell's end
        b skipped the run was stopped before this cell's end
        ");
    }

    #[test]
    fn the_keys_of_a_line_are_these_in_this_order() {
        let cell = "native/bert@own/webmatrix/native-cpu/fp32/default".parse();
        let cell = cell.unwrap_or_else(|error| panic!("{error}"));
        let verdict = verdict(Status::Pass, EvidenceGrade::Cpu, Some(vec![output("a", None)]));
        let line = output_lines(&cell, Some(&verdict), &["a".to_owned()]).remove(0);
        let line = serde_json::to_string(&line).unwrap_or_else(|error| panic!("{error}"));
        insta::assert_snapshot!(line, @r#"{"browser":"native","backend":"native-cpu","precision":"fp32","output":"a","max_abs":0.5,"max_rel":null,"cosine":1.0,"status":"pass","evidence":"cpu","implementation":"NATIVE","error":null}"#);
    }

    #[test]
    fn what_was_skipped_was_wanted() {
        let mut tally = Tally::default();
        tally.add(&verdict(Status::Pass, EvidenceGrade::Cpu, None));
        assert_eq!(verification_status(&tally, &[]), ExitStatus::AsExpected);
        tally.add(&Verdict::nothing_ran(Status::Unsupported, "no WebNN"));
        assert_eq!(verification_status(&tally, &[]), ExitStatus::AsExpected);
        tally.add(&Verdict::nothing_ran(Status::Skipped, "late"));
        assert_eq!(verification_status(&tally, &[]), ExitStatus::Unexpected);
        let mut nothing = Tally::default();
        nothing.add(&Verdict::nothing_ran(Status::Unsupported, "no WebNN"));
        assert_eq!(verification_status(&nothing, &[]), ExitStatus::TooLittleEvidence);
    }
}
