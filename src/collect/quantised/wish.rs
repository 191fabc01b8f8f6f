//! How matrices are to be stored: by a precision, as runs ask, or as a person says it matrix by matrix.

use std::collections::BTreeMap;
use std::sync::Arc;

use webmatrix_engine::Error;
use webmatrix_engine::quant::{Activations, Bits, Choice, Fit, Group, Recipe, Scheme, Watch, allot};
use webmatrix_wire::Precision;

use super::study::Studied;

/// Sensitivity is measured for models of at most so many weights, unless a person asks for it: every matrix costs an
/// inference for each scheme.
const MOST_MEASURED: usize = 60_000_000;
/// A matrix with less than this part of all weights is kept at 8 bits: what it would save is nothing.
const SMALL: usize = 500;

/// How a person wants a model's matrices stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// As runs at this precision do.
    pub precision: Option<Precision>,
    /// This scheme, for every matrix that is not kept.
    pub scheme: Option<Scheme>,
    /// How scales are chosen; without, by squared error.
    pub fit: Option<Fit>,
    /// Whether codes are chosen with regard to what matrices are multiplied with; without, below 8 bits.
    pub gptq: Option<bool>,
    /// Matrices whose names match a pattern, in which `*` is any text, and the scheme that they get instead. The first
    /// that matches counts.
    pub keep: Vec<(String, Scheme)>,
    /// Bits that a weight of the model may take on average, everything counted.
    pub budget_bits: Option<f64>,
}

/// A recipe that fits a model, and what its matrices are multiplied with, where that counts.
pub(super) type Fitted<'s> = (Recipe, Option<&'s BTreeMap<String, Arc<Activations>>>);

impl Wish {
    /// What runs at this precision do.
    pub(super) fn of(precision: Precision) -> Self {
        Self { precision: Some(precision), ..Self::default() }
    }

    /// The scheme of matrices that nothing else is said of.
    fn base(&self) -> Scheme {
        self.scheme.unwrap_or_else(|| scheme(self.precision.unwrap_or(Precision::Mixed)))
    }

    /// Which matrix of the model gets what.
    pub(super) fn fit<'s>(&self, studied: &'s Studied, watch: Watch<'_>) -> Result<Fitted<'s>, Error> {
        let base = self.base();
        let coarse = !has(base, Bits::Eight) || self.budget_bits.is_some();
        let calibrates = self.gptq.unwrap_or(coarse) && (studied.calibrates() || self.gptq == Some(true));
        let activations = if calibrates { Some(studied.activations()?) } else { None };
        let mut recipe = Recipe { fit: self.fit.unwrap_or_default(), ..Recipe::uniform(base) };
        let kept = self.kept(studied)?;
        match self.allotment().filter(|_| self.budget_bits.is_some() || studied.weights <= MOST_MEASURED) {
            Some((bits, fewest)) => {
                let none = BTreeMap::new();
                let known = activations.unwrap_or(&none);
                let schemes = if self.budget_bits.is_some() { &WIDE[..] } else { &WIDE[1..] };
                let choices = studied.choices(schemes, recipe.fit, known, watch)?;
                recipe.exceptions = allotted(studied, choices, &kept, bits, fewest)?;
            }
            None if coarse => {
                // A person who names a scheme gets it everywhere but for positions, which every token is told by.
                let small = |(name, shape): &(&String, &Vec<usize>)| {
                    let columns: usize = shape[1..].iter().product();
                    let few = self.scheme.is_none() && shape[0] * columns * SMALL < studied.weights;
                    (few || studied.tables.contains_key(*name)) && columns >= Group::Of128.size()
                };
                let small = studied.matrices.iter().filter(small);
                recipe.exceptions = small.map(|(name, _)| (name.clone(), FINE)).collect();
            }
            None => {}
        }
        recipe.exceptions.extend(kept);
        Ok((recipe, activations))
    }

    /// Bits a weight that the model may take on average, and the fewest that a matrix may get.
    fn allotment(&self) -> Option<(f64, Bits)> {
        let usual = self.precision.and_then(allotment).filter(|_| self.scheme.is_none());
        let fewest = usual.map_or(Bits::Two, |(_, fewest)| fewest);
        self.budget_bits.map(|bits| (bits, fewest)).or(usual)
    }

    /// What matrices are named by a pattern.
    fn kept(&self, studied: &Studied) -> Result<BTreeMap<String, Scheme>, Error> {
        let mut kept = BTreeMap::new();
        for (pattern, scheme) in self.keep.iter().rev() {
            let mut found = studied.matrices.iter().filter(|(name, _)| matches(pattern, name)).peekable();
            if found.peek().is_none() {
                let some: Vec<&str> = studied.matrices.keys().map(String::as_str).take(4).collect();
                return Err(Error::Weight {
                    name: pattern.clone(),
                    reason: format!(
                        "no matrix of this model is named so; there are such as {}",
                        some.join(", ")
                    ),
                });
            }
            for (name, shape) in found {
                let columns = shape[1..].iter().product();
                kept.insert(name.clone(), Recipe::uniform(*scheme).scheme_of(name, columns));
            }
        }
        Ok(kept)
    }
}

/// Whether `*` in the pattern can stand for something so that it is the name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    starts.map(|at| &name[at..]).any(|tail| matches(rest, tail))
}

/// Bits for each matrix that is not kept, so that the model takes no more than so many a weight.
fn allotted(
    studied: &Studied,
    choices: &BTreeMap<String, Vec<Choice>>,
    kept: &BTreeMap<String, Scheme>,
    bits: f64,
    fewest: Bits,
) -> Result<BTreeMap<String, Scheme>, Error> {
    let choices = choices.iter().map(|(name, choices)| {
        let of_matrix = match kept.get(name) {
            Some(scheme) => {
                let shape = &studied.matrices[name];
                vec![Choice::new(*scheme, shape[0], shape[1..].iter().product(), 0.0)]
            }
            None => choices.iter().filter(|choice| has(choice.scheme, fewest)).cloned().collect(),
        };
        (name.clone(), of_matrix)
    });
    let budget = (studied.all as f64 * bits / 8.0) as usize;
    let picked = allot(&choices.collect(), budget.saturating_sub(studied.rest));
    Ok(picked.into_iter().map(|(name, choice)| (name, choice.scheme)).collect())
}

/// The scheme of a precision's matrices. `mixed` has no one scheme.
const fn scheme(precision: Precision) -> Scheme {
    match precision {
        Precision::Fp32 | Precision::Fp16 => Scheme::Half,
        // Not by 128: of MiniLM's embeddings of 36 texts three then lie below 0.999, those of a word or two.
        Precision::Int8 => Scheme::symmetric(Bits::Eight, Group::Of64),
        Precision::Int4 | Precision::Mixed => Scheme::symmetric(Bits::Four, Group::Of32),
        Precision::Int3 => Scheme::nested(Bits::Three, true),
        Precision::Int2 => Scheme::nested(Bits::Two, true),
    }
}

/// What bits are allotted among, fewest first; the first only where a person sets the budget.
const WIDE: [Scheme; 6] = [
    Scheme::nested(Bits::Two, true),
    Scheme::nested(Bits::Three, true),
    Scheme::symmetric(Bits::Four, Group::Of64),
    Scheme::nested(Bits::Four, true),
    Scheme::asymmetric(Bits::Four, Group::Of32),
    FINE,
];

/// What matrices that take little room, or that much depends on, get beside those of fewer bits.
const FINE: Scheme = Scheme::symmetric(Bits::Eight, Group::Of128);

/// Bits a weight that a model may take on average at a precision, with all that is not quantised, and the fewest bits that a
/// matrix may get. At 4 bits the model takes 70 % less than at half precision.
const fn allotment(precision: Precision) -> Option<(f64, Bits)> {
    match precision {
        Precision::Int4 => Some((4.78, Bits::Four)),
        Precision::Mixed => Some((4.2, Bits::Two)),
        _ => None,
    }
}

/// Whether a scheme has so many bits.
fn has(scheme: Scheme, fewest: Bits) -> bool {
    match scheme {
        Scheme::Half => true,
        Scheme::Grouped { bits, .. } => bits >= fewest,
    }
}

/// The precision that a model of these schemes is of: what the base was meant to be, unless some matrix has fewer bits.
pub(super) fn precision_of(wish: &Wish, schemes: impl Iterator<Item = Scheme>) -> Precision {
    let bits = |scheme: Scheme| match scheme {
        Scheme::Half => 16,
        Scheme::Grouped { bits, .. } => bits.count(),
    };
    let named = |count: usize| match count {
        16 => Precision::Fp16,
        8 => Precision::Int8,
        4 => Precision::Int4,
        3 => Precision::Int3,
        _ => Precision::Int2,
    };
    let base = match (wish.precision, wish.scheme, wish.budget_bits) {
        (Some(precision), ..) => precision,
        (None, Some(scheme), None) => named(bits(scheme)),
        (None, ..) => Precision::Mixed,
    };
    let meant = if base == Precision::Mixed { 0 } else { bits(scheme(base)) };
    if schemes.map(bits).min().is_some_and(|fewest| fewest < meant) { Precision::Mixed } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, fits) in [
            ("lm_head.weight", "lm_head.weight", true),
            ("lm_head.weight", "lm_head.weights", false),
            ("*", "anything", true),
            ("*.v_proj.*", "layers.0.v_proj.weight", true),
            ("*v_proj", "layers.0.v_proj.weight", false),
            ("layers.*.q*", "layers.11.q_proj", true),
            ("a*b*c", "abbbcbc", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn fewer_bits_than_were_meant_are_mixed() {
        let of = |wish: &Wish, schemes: &[&str]| {
            let parsed = schemes.iter().map(|scheme| scheme.parse().unwrap_or(Scheme::Half));
            precision_of(wish, parsed)
        };
        let int4 = Wish::of(Precision::Int4);
        assert_eq!(of(&int4, &["int4-g32", "int8-g128", "fp16"]), Precision::Int4);
        assert_eq!(of(&int4, &["int4-g32", "int2-g32"]), Precision::Mixed);
        let by_scheme = |scheme: &str| Wish { scheme: scheme.parse().ok(), ..Wish::default() };
        assert_eq!(of(&by_scheme("int8-g64"), &["int8-g64"]), Precision::Int8);
        assert_eq!(of(&by_scheme("fp16"), &["fp16"]), Precision::Fp16);
        assert_eq!(of(&by_scheme("fp16"), &["fp16", "int3-g32"]), Precision::Mixed);
        assert_eq!(of(&Wish { budget_bits: Some(4.0), ..Wish::default() }, &["int8-g128"]), Precision::Mixed);
    }
}
