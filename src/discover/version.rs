//! Versions and release channels, as programs print them.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

/// A dotted version with the suffix some vendors add: `156.0.8078.79`, `153.7.0esr`, `151.0a1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    numbers: Vec<u64>,
    suffix: String,
}

impl Version {
    /// Reads a version that is the whole of `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(digits_end);
        let numbers = numbers.trim_end_matches('.');
        let numbers: Vec<u64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { numbers, suffix: suffix.to_owned() })
    }

    /// Finds the version in a line such as `Mozilla Firefox 153.7.0esr`: the first word that starts
    /// like one. A single number does not count, for names have them too (`Chrome 4 Linux 1.2`).
    pub fn find(text: &str) -> Option<Self> {
        text.split_whitespace()
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
            .find_map(Self::parse)
    }

    /// The first number: what browser and driver must share.
    pub fn major(&self) -> u64 {
        self.numbers.first().copied().unwrap_or_default()
    }

    /// Whether both come from one build of Chromium: the first three numbers, for the fourth only
    /// counts patches and drivers are published for fewer of those.
    pub fn same_build(&self, other: &Self) -> bool {
        self.numbers.iter().take(3).eq(other.numbers.iter().take(3))
    }

    /// What follows the numbers: `esr`, `b3`, `a1`, or nothing.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    /// By number; a version with a suffix comes before the same numbers without (`151.0a1 < 151.0`).
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| self.suffix.is_empty().cmp(&other.suffix.is_empty()))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.numbers.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        f.write_str(&self.suffix)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A vendor's release channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// What most people run.
    Stable,
    /// Firefox's long support.
    Esr,
    /// The next release.
    Beta,
    /// The one after it (Chrome and Edge Dev, Firefox Developer Edition).
    Dev,
    /// Chrome's and Edge's daily build.
    Canary,
    /// Firefox's daily build.
    Nightly,
    /// Safari Technology Preview.
    Preview,
    /// Not known: a program the user pointed at.
    Unknown,
}

impl Channel {
    /// The name used in labels (`chrome-beta`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Esr => "esr",
            Self::Beta => "beta",
            Self::Dev => "dev",
            Self::Canary => "canary",
            Self::Nightly => "nightly",
            Self::Preview => "preview",
            Self::Unknown => "unknown",
        }
    }

    /// The channel a program tells by itself: a word after the version (`Google Chrome 150.0.1.2 beta`)
    /// or Firefox's suffix (`151.0a1`, `150.0b3`, `153.7.0esr`).
    pub fn told_by(output: &str, version: &Version) -> Option<Self> {
        let word = output.split_whitespace().find_map(|word| match word {
            "beta" | "Beta" => Some(Self::Beta),
            "dev" | "Dev" => Some(Self::Dev),
            "canary" | "Canary" => Some(Self::Canary),
            _ => None,
        });
        word.or_else(|| {
            let suffix = version.suffix();
            if suffix == "esr" {
                Some(Self::Esr)
            } else if suffix.starts_with('a') {
                Some(Self::Nightly)
            } else if suffix.starts_with('b') {
                Some(Self::Beta)
            } else {
                None
            }
        })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text} is a version"))
    }

    #[test]
    fn versions_are_found_where_programs_print_them() {
        for (line, expected) in [
            ("Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)", "156.0.8078.79"),
            ("Mozilla Firefox 153.7.0esr", "153.7.0esr"),
            ("Mozilla Firefox 151.0a1", "151.0a1"),
            ("geckodriver 0.37.1", "0.37.1"),
            ("ChromeDriver 156.0.8078.79 (a21ce95c24ce-refs/branch-heads/8078@{#1704})", "156.0.8078.79"),
            ("Included with Safari 26.0 (21622.1.22.11.14)", "26.0"),
            ("Microsoft Edge WebDriver 150.0.4000.10 (abc)", "150.0.4000.10"),
        ] {
            assert_eq!(Version::find(line).map(|v| v.to_string()).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(Version::find("no version here, not even 7"), None);
    }

    #[test]
    fn versions_order_by_number_not_by_letter() {
        assert!(version("99.0") < version("150.0"));
        assert!(version("151.0a1") < version("151.0"));
        assert!(version("156.0.8078.79").same_build(&version("156.0.8078.44")));
        assert!(!version("156.0.8078.79").same_build(&version("156.0.8079.79")));
    }

    #[test]
    fn channels_are_told_by_word_or_suffix() {
        for (line, expected) in [
            ("Google Chrome 150.0.1.2 beta", Some(Channel::Beta)),
            ("Google Chrome 151.0.1.2 dev", Some(Channel::Dev)),
            ("Google Chrome 150.0.1.2", None),
            ("Mozilla Firefox 150.0b3", Some(Channel::Beta)),
            ("Mozilla Firefox 151.0a1", Some(Channel::Nightly)),
            ("Mozilla Firefox 153.7.0esr", Some(Channel::Esr)),
        ] {
            let version = Version::find(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(Channel::told_by(line, &version), expected, "{line}");
        }
    }
}
