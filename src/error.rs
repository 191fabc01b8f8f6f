//! How the program ends.

use std::process::ExitCode;

/// The program's exit codes: part of its interface, like its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// Everything as expected.
    AsExpected,
    /// An unexpected result, or a regression.
    Unexpected,
    /// The command line cannot be understood.
    Usage,
    /// No real cell ran: that is never success.
    TooLittleEvidence,
    /// Bad data or configuration.
    BadData,
    /// A browser or driver is not there.
    Unavailable,
    /// Stopped by a signal.
    Interrupted,
}

impl ExitStatus {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::TooLittleEvidence => 3,
            Self::BadData => 65,
            Self::Unavailable => 69,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// An error on its way out: what to say, and how to exit.
#[derive(Debug)]
pub struct Failure {
    /// How to exit.
    pub status: ExitStatus,
    /// What to say, outermost first.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with this exit status.
    pub fn new(status: ExitStatus, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into() }
    }

    /// A failure with this exit status and text.
    pub fn text(status: ExitStatus, text: impl Into<String>) -> Self {
        Self { status, error: anyhow::Error::msg(text.into()) }
    }
}

/// Says how an error exits. Used with `?`: `parse(text).exit(ExitStatus::BadData)?`.
pub trait Exit<T> {
    /// The value, or a [`Failure`] with this status.
    fn exit(self, status: ExitStatus) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Exit<T> for Result<T, E> {
    fn exit(self, status: ExitStatus) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(status, error))
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus::*;

    #[test]
    fn codes_are_those_that_are_documented() {
        let codes = [AsExpected, Unexpected, Usage, TooLittleEvidence, BadData, Unavailable, Interrupted];
        assert_eq!(codes.map(super::ExitStatus::code), [0, 1, 2, 3, 65, 69, 130]);
    }
}
