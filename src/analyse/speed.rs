//! What may be said of a cell's speed.

use webmatrix_wire::EvidenceGrade;

use super::median;
use super::stats::Estimate;
use super::view::CellView;

/// How often an interval may miss its median at either end.
const MISS: f64 = 0.025;

/// Whether times with this evidence are of what the cell claims, and not of software in its place; else why not.
pub const fn timed(evidence: EvidenceGrade) -> Result<(), &'static str> {
    match evidence {
        EvidenceGrade::Hardware | EvidenceGrade::Cpu => Ok(()),
        EvidenceGrade::Software => Err("not measured on hardware"),
        EvidenceGrade::Fallback => Err("not measured on the backend asked for"),
        EvidenceGrade::Simulated | EvidenceGrade::None => Err("not measured"),
    }
}

/// The median of a cell's timed inferences, in milliseconds, or why it says nothing.
pub fn speed(cell: &CellView, samples: &[f64]) -> Result<Estimate, &'static str> {
    if !cell.is_green() {
        return Err("not proven");
    }
    timed(cell.evidence)?;
    of_median(samples).ok_or("not measured")
}

/// The median with its 95 % interval, which holds for samples of any distribution: between the two that lie so far in from
/// the ends that fair coins would seldom fall so (Thompson 1936). Of fewer than six no interval is that sure.
fn of_median(samples: &[f64]) -> Option<Estimate> {
    if samples.iter().any(|ms| !ms.is_finite()) {
        return None;
    }
    let (value, count) = (median(samples)?, samples.len());
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let inside = seldom(count);
    let end = |at: Option<usize>| at.and_then(|at| sorted.get(at)).copied();
    Some(Estimate {
        value,
        lo: end(inside.checked_sub(1)),
        hi: end((inside > 0).then(|| count - inside)),
        count,
    })
}

/// The most heads that so many coins have with a chance of [`MISS`] at most, plus one; 0 where even none is not that seldom.
fn seldom(coins: usize) -> usize {
    let mut log = coins as f64 * 0.5_f64.ln();
    let mut sum = 0.0;
    for heads in 0..coins {
        sum += log.exp();
        if sum > MISS {
            return heads;
        }
        log += ((coins - heads) as f64).ln() - ((heads + 1) as f64).ln();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_median_is_the_tables() {
        // From printed tables of the sign test's critical values.
        let table = [(5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (25, 8), (50, 18), (100, 40)];
        for (count, inside) in table {
            assert_eq!(seldom(count), inside, "{count}");
        }
        // Too small a chance for a float does not stop it.
        assert!((480_000..500_000).contains(&seldom(1_000_000)));
    }

    #[test]
    fn few_samples_have_a_median_and_no_interval() {
        assert_eq!(of_median(&[]), None);
        assert_eq!(of_median(&[1.0, f64::NAN]), None);
        let few = of_median(&[3.0, 1.0, 2.0]);
        assert_eq!(few, Some(Estimate { value: 2.0, lo: None, hi: None, count: 3 }));
        let ten: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(of_median(&ten), Some(Estimate { value: 5.5, lo: Some(2.0), hi: Some(9.0), count: 10 }));
    }
}
