//! What uploaded outputs come to beside others, with intervals.

use safetensors::SafeTensors;

use crate::analyse::agreement::{Elements, elements};
use crate::analyse::divergence::{self, choices, divergences, products};
use crate::analyse::stats::{self, Estimate, of_sums};

/// How far outputs are from others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Distance {
    pub(super) cosine: Option<Estimate>,
    pub(super) agreement: Option<Estimate>,
    pub(super) divergence: Option<Estimate>,
}

/// Of every output of floats that both have in the same shape; none where there is none.
pub(super) fn distance(outputs: &[u8], full: &[u8]) -> Option<Distance> {
    let (outputs, full) = (SafeTensors::deserialize(outputs).ok()?, SafeTensors::deserialize(full).ok()?);
    let mut names = full.names();
    names.sort_unstable();
    let mut distance = Distance::default();
    let (mut same, mut nats) = (Vec::new(), Vec::new());
    let mut any = false;
    for name in names {
        let (Ok(e), Ok(y)) = (full.tensor(name), outputs.tensor(name)) else { continue };
        let row = e.shape().last().copied().unwrap_or(1);
        let (Some(Elements::Floats(y)), Some(Elements::Floats(e)), true) =
            (elements(&y), elements(&e), y.shape() == e.shape())
        else {
            continue;
        };
        any = true;
        let cosine = of_sums(&products(&y, &e, row), |sums, _| divergence::cosine(sums));
        distance.cosine = match (distance.cosine, cosine) {
            (Some(known), Some(found)) if known.value <= found.value => Some(known),
            (known, found) => found.or(known),
        };
        if name.ends_with("logits") && row > 1 {
            same.extend(choices(&y, &e, row));
            nats.extend(divergences(&y, &e, row));
        }
    }
    distance.agreement = stats::part(&same);
    distance.divergence = stats::mean(&nats);
    any.then_some(distance)
}
