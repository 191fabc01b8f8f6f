//! The browsers of this machine, as planning knows them.

use webmatrix_wire::UnknownName;

use super::axis::BrowserKind;
use super::cell::NATIVE;

/// A browser as planning needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its label.
    pub label: String,
    /// Why it cannot be used, with the remedy; none if it can.
    pub problem: Option<String>,
}

/// The browsers that can be spoken of: every known kind, and every program found.
pub(super) struct Catalogue<'a> {
    found: &'a [Found],
}

impl<'a> Catalogue<'a> {
    pub(super) const fn new(found: &'a [Found]) -> Self {
        Self { found }
    }

    /// Every label, found ones first, then the kinds that are not on this machine.
    pub(super) fn all(&self) -> Vec<String> {
        let mut labels: Vec<String> = self.found.iter().map(|found| found.label.clone()).collect();
        for kind in BrowserKind::ALL {
            if !labels.iter().any(|label| label == kind.as_str()) {
                labels.push(kind.as_str().to_owned());
            }
        }
        labels
    }

    pub(super) fn get(&self, label: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.label == label)
    }

    pub(super) fn usable(&self, label: &str) -> bool {
        label == NATIVE || self.get(label).is_some_and(|found| found.problem.is_none())
    }

    /// Replaces `all`, and refuses labels that name nothing.
    pub(super) fn resolve(&self, labels: &[String]) -> Result<Vec<String>, PlanError> {
        let mut resolved: Vec<String> = Vec::new();
        let all = self.all();
        for label in labels {
            let these = if label == "all" {
                all.clone()
            } else if label == NATIVE || all.contains(label) {
                vec![label.clone()]
            } else {
                return Err(PlanError::Browser { label: label.clone(), known: all.join(", ") });
            };
            for label in these {
                if !resolved.contains(&label) {
                    resolved.push(label);
                }
            }
        }
        Ok(resolved)
    }
}

/// Overrides that name what is not there.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A name of no axis.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// A browser nobody knows.
    #[error("unknown browser {label:?}: known are {known}; --browser-path {label}=KIND:PATH adds one")]
    Browser {
        /// What was asked for.
        label: String,
        /// What could be.
        known: String,
    },
    /// Everything was filtered out.
    #[error("the matrix {0:?} has no cell left with these options")]
    Empty(String),
}
