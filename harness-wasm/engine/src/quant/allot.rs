//! Bits for each matrix under a budget.

use std::collections::BTreeMap;

use super::{Packing, Scheme};

/// What a matrix costs under one scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The scheme.
    pub scheme: Scheme,
    /// Bytes that it takes.
    pub bytes: usize,
    /// What the model's outputs lose when this matrix alone is stored so.
    pub loss: f64,
}

impl Choice {
    /// A choice for a matrix of this shape.
    pub fn new(scheme: Scheme, rows: usize, columns: usize, loss: f64) -> Self {
        let packing = Packing { scheme, columns };
        Self { scheme, bytes: 4 * rows * (packing.words() + packing.scale_words()), loss }
    }
}

/// Picks a choice for every matrix so that all of them take at most `budget` bytes and lose as little as may be, losses
/// taken to add up. Every matrix starts with its smallest choice; then the step up that saves most loss for its bytes is
/// taken, as long as one fits. If the smallest choices exceed the budget, they are what there is.
pub fn allot(choices: &BTreeMap<String, Vec<Choice>>, budget: usize) -> BTreeMap<String, Choice> {
    let smallest = |choices: &Vec<Choice>| choices.iter().min_by_key(|choice| choice.bytes).cloned();
    let mut picked: BTreeMap<String, Choice> =
        choices.iter().filter_map(|(name, choices)| Some((name.clone(), smallest(choices)?))).collect();
    let mut spent: usize = picked.values().map(|choice| choice.bytes).sum();
    loop {
        let steps = picked.iter().flat_map(|(name, now)| {
            let better =
                choices[name].iter().filter(|choice| choice.bytes > now.bytes && choice.loss < now.loss);
            let fits = better.filter(|choice| spent - now.bytes + choice.bytes <= budget);
            fits.map(move |choice| {
                let gain = (now.loss - choice.loss) / (choice.bytes - now.bytes) as f64;
                (gain, name, choice)
            })
        });
        let Some((_, name, choice)) = steps.max_by(|a, b| a.0.total_cmp(&b.0)) else { return picked };
        let (name, choice) = (name.clone(), choice.clone());
        spent = spent - picked[&name].bytes + choice.bytes;
        picked.insert(name, choice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(losses: [f64; 3]) -> Vec<Choice> {
        let schemes = ["int2-g32-asym-super", "int4-g32", "int8-g128"];
        let each = schemes.iter().zip(losses);
        each.map(|(scheme, loss)| Choice::new(scheme.parse().unwrap(), 64, 256, loss)).collect()
    }

    #[test]
    fn bits_go_where_they_save_most() {
        let all = BTreeMap::from([
            ("dull".to_owned(), choices([0.002, 0.001, 0.0])),
            ("keen".to_owned(), choices([0.9, 0.1, 0.001])),
        ]);
        let told = |bits: f64| {
            let budget = (bits * 2.0 * 64.0 * 256.0 / 8.0) as usize;
            let picked = allot(&all, budget);
            assert!(bits < 2.5 || picked.values().map(|choice| choice.bytes).sum::<usize>() <= budget);
            picked.values().map(|choice| choice.scheme.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(told(1.0), ["int2-g32-asym-super", "int2-g32-asym-super"]);
        assert_eq!(told(3.5), ["int2-g32-asym-super", "int4-g32"]);
        assert_eq!(told(5.4), ["int2-g32-asym-super", "int8-g128"]);
        assert_eq!(told(9.0), ["int8-g128", "int8-g128"]);
    }

    /// A matrix that loses nothing by fewer bits keeps them.
    #[test]
    fn nothing_is_spent_for_nothing() {
        let all = BTreeMap::from([("any".to_owned(), choices([0.1, 0.1, 0.1]))]);
        assert_eq!(allot(&all, usize::MAX)["any"].scheme.to_string(), "int2-g32-asym-super");
    }
}
