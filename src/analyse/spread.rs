//! How samples are spread: what a box plot shows.

use serde::Serialize;

/// Five numbers and a count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// A quarter lies below.
    pub q1: f64,
    /// The median.
    pub median: f64,
    /// A quarter lies above.
    pub q3: f64,
    /// The most.
    pub most: f64,
    /// How many were measured.
    pub count: usize,
}

/// The spread of samples; none of nothing. Between two samples a quantile is interpolated (Hyndman and Fan's type 7, 1996).
pub fn spread(samples: &[f64]) -> Option<Spread> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let at = |share: f64| {
        let place = (sorted.len() - 1) as f64 * share;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Some(Spread { least, q1: at(0.25), median: at(0.5), q3: at(0.75), most, count: sorted.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_interpolated() {
        assert_eq!(spread(&[]), None);
        let one = Spread { least: 3.0, q1: 3.0, median: 3.0, q3: 3.0, most: 3.0, count: 1 };
        assert_eq!(spread(&[3.0]), Some(one));
        let four = Spread { least: 1.0, q1: 1.75, median: 2.5, q3: 3.25, most: 4.0, count: 4 };
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]), Some(four));
    }
}
