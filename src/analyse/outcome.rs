//! What a whole run comes to.

use std::collections::BTreeMap;

use webmatrix_wire::{EvidenceGrade, Status};

use crate::collect::{OpVerdict, Verdict, is_real, is_unexpected};
use crate::error::ExitStatus;

/// Cells, or op cases, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cells by status.
    pub by_status: BTreeMap<Status, usize>,
    /// Cells that ran for real, whatever came out: what the run rests on.
    pub real: usize,
}

impl Tally {
    /// Counts one cell.
    pub fn add(&mut self, verdict: &Verdict) {
        self.count(verdict.status, verdict.evidence);
    }

    /// Counts one op case.
    pub fn add_op(&mut self, verdict: &OpVerdict) {
        self.count(verdict.status, verdict.evidence);
    }

    fn count(&mut self, status: Status, evidence: EvidenceGrade) {
        *self.by_status.entry(status).or_default() += 1;
        let ran = status == Status::Pass || is_unexpected(status);
        if ran && is_real(evidence) {
            self.real += 1;
        }
    }

    /// Cells that ended as nobody wants.
    pub fn unexpected(&self) -> usize {
        self.by_status.iter().filter(|(status, _)| is_unexpected(**status)).map(|(_, count)| count).sum()
    }
}

/// How a run that reached its end exits: unexpected results first, then what was asked for and is not
/// there, then the question whether anything ran at all.
pub fn exit_status(tally: &Tally, missing: &[String]) -> ExitStatus {
    if tally.unexpected() > 0 {
        ExitStatus::Unexpected
    } else if !missing.is_empty() {
        ExitStatus::Unavailable
    } else if tally.real == 0 {
        ExitStatus::TooLittleEvidence
    } else {
        ExitStatus::AsExpected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(cells: &[(Status, EvidenceGrade)], missing: &[&str]) -> ExitStatus {
        let mut tally = Tally::default();
        for (status, evidence) in cells {
            let mut verdict = Verdict::nothing_ran(*status, "");
            verdict.evidence = *evidence;
            tally.add(&verdict);
        }
        let missing: Vec<String> = missing.iter().map(|label| (*label).to_owned()).collect();
        exit_status(&tally, &missing)
    }

    #[test]
    fn a_run_in_which_nothing_ran_is_never_a_success() {
        use {EvidenceGrade as E, Status as S};
        assert_eq!(status(&[], &[]), ExitStatus::TooLittleEvidence);
        assert_eq!(
            status(&[(S::Unsupported, E::None), (S::Unavailable, E::None)], &[]),
            ExitStatus::TooLittleEvidence
        );
        assert_eq!(status(&[(S::Pass, E::Simulated)], &[]), ExitStatus::TooLittleEvidence);
        assert_eq!(status(&[(S::Pass, E::Cpu), (S::Unsupported, E::None)], &[]), ExitStatus::AsExpected);
        assert_eq!(status(&[(S::Pass, E::Cpu)], &["edge"]), ExitStatus::Unavailable);
        assert_eq!(status(&[(S::Pass, E::Cpu), (S::Crash, E::None)], &["edge"]), ExitStatus::Unexpected);
    }
}
