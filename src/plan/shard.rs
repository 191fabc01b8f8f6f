//! Parts of a plan, for several machines of the same kind.

use std::str::FromStr;

use super::planned::Plan;

/// A part of a plan, written `2/3`: the second of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(format!("{text:?} is no part: write such as 2/3, from 1/3 to 3/3")),
        }
    }
}

impl Plan {
    /// Leaves out what is not in the part. What is on one model stays together, since its weights and answers are made once; the
    /// parts of a plan are the plan, and none has anything of another. A part may be empty.
    pub fn keep(&mut self, shard: Shard) {
        let mut subjects = Vec::new();
        let mut mine = |subject: String| {
            let at = subjects.iter().position(|known| *known == subject).unwrap_or_else(|| {
                subjects.push(subject);
                subjects.len() - 1
            });
            at % shard.of + 1 == shard.number
        };
        self.cells.retain(|planned| {
            let cell = &planned.cell;
            mine(format!("{} {}@{}{}", cell.browser, cell.model, cell.size, cell.shape))
        });
        self.ops.retain(|planned| mine(planned.target.browser.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{EMBEDDED, Found, Overrides, parse, plan};

    #[test]
    fn parts_are_the_plan() {
        let (name, text) = EMBEDDED[0];
        let matrix = parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        let found = ["chromium", "firefox"].map(|label| Found { label: label.to_owned(), problem: None });
        let whole = plan(&matrix, &Overrides::default(), &found).unwrap_or_else(|error| panic!("{error}"));
        for of in 1..8 {
            let part = |number: usize| {
                let mut part = whole.clone();
                part.keep(format!("{number}/{of}").parse().unwrap_or_else(|error| panic!("{error}")));
                part.cells
            };
            let mut cells: Vec<_> = (1..=of).flat_map(part).map(|planned| planned.cell).collect();
            let mut all: Vec<_> = whole.cells.iter().map(|planned| planned.cell.clone()).collect();
            cells.sort();
            all.sort();
            assert_eq!(cells, all, "{of}");
        }
    }

    #[test]
    fn only_parts_are_read() {
        for text in ["1/1", "3/3"] {
            assert!(text.parse::<Shard>().is_ok(), "{text}");
        }
        for text in ["", "0/3", "4/3", "1/0", "1", "a/b", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
