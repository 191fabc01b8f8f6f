//! Known failures: what is waited for and raises no alarm, until a day. Data, read by `analyse`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use webmatrix_wire::Status;

/// A file of known failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailures {
    /// In the file's order.
    #[serde(default, rename = "failure")]
    pub failures: Vec<KnownFailure>,
}

/// Something that fails, and is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// A cell's id, in which `*` stands for anything.
    pub cells: String,
    /// The statuses that are waited for; none for any but a pass.
    #[serde(default)]
    pub statuses: Vec<Status>,
    /// The metrics that may be worse; where some are named, statuses are not meant.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Why, for people.
    pub reason: String,
    /// The first day on which it is not known any more.
    pub until: Date,
}

/// A file of known failures that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("known failures {name}: {reason}")]
pub struct KnownFailuresError {
    name: String,
    reason: String,
}

impl KnownFailures {
    /// Reads a file's text; `name` is what errors call it.
    ///
    /// # Errors
    /// With line and column, or the entry.
    pub fn parse(name: &str, text: &str) -> Result<Self, KnownFailuresError> {
        let fault = |reason: String| KnownFailuresError { name: name.to_owned(), reason };
        let known: Self =
            toml::from_str(text).map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        for failure in &known.failures {
            let about = |what: &str| fault(format!("{}: {what}", failure.cells));
            if failure.reason.trim().is_empty() {
                return Err(about("say why in `reason`"));
            }
            if failure.statuses.contains(&Status::Pass) {
                return Err(about("a pass is no failure"));
            }
            if !failure.statuses.is_empty() && !failure.metrics.is_empty() {
                return Err(about("name statuses or metrics, and two entries for both"));
            }
        }
        Ok(known)
    }
}

impl KnownFailure {
    /// Whether it is over on a day.
    pub fn is_expired(&self, today: Date) -> bool {
        today >= self.until
    }

    /// Whether it is about a cell with such a status.
    pub fn is_of_status(&self, cell: &str, status: Status) -> bool {
        self.metrics.is_empty()
            && status != Status::Pass
            && (self.statuses.is_empty() || self.statuses.contains(&status))
            && matches(&self.cells, cell)
    }

    /// Whether it is about a metric of a cell.
    pub fn is_of_metric(&self, cell: &str, metric: &str) -> bool {
        self.metrics.iter().any(|name| name == metric) && matches(&self.cells, cell)
    }
}

/// Whether a text is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: what follows may stand anywhere behind it.
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../matrices/known-failures.toml");

    fn parse(text: &str) -> Result<KnownFailures, String> {
        KnownFailures::parse("k.toml", text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_file_waits_for_nothing_and_its_examples_can_be_read() {
        assert_eq!(parse(SHIPPED), Ok(KnownFailures::default()));
        let examples: String = SHIPPED
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains('=') || line.starts_with('['))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(parse(&examples).map(|known| known.failures.len()), Ok(2), "{examples}");
    }

    #[test]
    fn an_entry_is_about_what_it_names_until_its_day() {
        let text = "[[failure]]\ncells = \"firefox/*/webgpu/*\"\nstatuses = [\"crash\"]\nreason = \"r\"\nuntil = \"2027-01-01\"\n";
        let known = parse(text).unwrap_or_else(|error| panic!("{error}"));
        let failure = &known.failures[0];
        let cell = "firefox/bert@tiny/webmatrix/webgpu/fp32/default";
        assert!(failure.is_of_status(cell, Status::Crash) && !failure.is_of_status(cell, Status::Wrong));
        assert!(!failure.is_of_status("chromium/bert@tiny/webmatrix/webgpu/fp32/default", Status::Crash));
        assert!(!failure.is_of_metric(cell, "latency"));
        let day = |text: &str| text.parse::<Date>().unwrap_or_else(|error| panic!("{error}"));
        assert!(!failure.is_expired(day("2026-12-31")) && failure.is_expired(day("2027-01-01")));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, same) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("ab*ba", "aba", false),
            ("*b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), same, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let entry =
            |rest: &str| parse(&format!("[[failure]]\ncells = \"x\"\n{rest}")).err().unwrap_or_default();
        let errors = [
            entry("reason = \" \"\nuntil = \"2027-01-01\"\n"),
            entry("reason = \"r\"\nuntil = \"soon\"\n"),
            entry("reason = \"r\"\nuntil = \"2027-01-01\"\nstatuses = [\"pass\"]\n"),
            entry(
                "reason = \"r\"\nuntil = \"2027-01-01\"\nstatuses = [\"crash\"]\nmetrics = [\"latency\"]\n",
            ),
        ];
        insta::assert_snapshot!(errors.join("\n"), @r#"
        known failures k.toml: x: say why in `reason`
        known failures k.toml: TOML parse error at line 4, column 9
          |
        4 | until = "soon"
          |         ^^^^^^
        failed to parse four digit integer as year: invalid digit, expected 0-9 but got s
        known failures k.toml: x: a pass is no failure
        known failures k.toml: x: name statuses or metrics, and two entries for both
        "#);
    }
}
