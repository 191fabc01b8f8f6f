//! Which precision is worth it, in one place: what is on the frontier of size, latency and accuracy, and what is recommended.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use webmatrix_wire::Precision;

use super::dossier::Dossier;
use super::speed::timed;
use super::view::{AccuracyView, CellView};

/// What a recommended precision must keep of the outputs at full precision: their cosine, and where there are choices (a
/// likeliest class, a token) the part of them that is the same.
pub const KEPT: f64 = 0.99;

/// Whether a proven cell keeps less than [`KEPT`]: it computed what its weights say, and they say something else than those
/// at full precision do.
pub fn loses(cell: &CellView) -> bool {
    let keeps = |accuracy: &AccuracyView| kept(accuracy.cosine) && kept(accuracy.agreement);
    cell.is_green() && cell.accuracy.as_ref().is_some_and(|accuracy| !keeps(accuracy))
}

/// What is not known is not lost.
fn kept(part: Option<f64>) -> bool {
    part.is_none_or(|part| part >= KEPT)
}

/// The precisions of a model in one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frontier {
    /// The model, its size and the place, for people.
    pub title: String,
    /// Proven cells whose memory is known, the largest first.
    pub points: Vec<Point>,
    /// Which of them is recommended.
    pub recommended: Option<usize>,
    /// Why that one, or why none.
    pub why: String,
}

/// A precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The cell, by its place in the run.
    pub cell: usize,
    /// Of the weights.
    pub precision: String,
    /// Of the weights as the page holds them, scales included.
    pub bytes: f64,
    /// The smallest cosine of its outputs with those at full precision; 1 of full precision itself.
    pub cosine: Option<f64>,
    /// The part of choices that are the same.
    pub same: Option<f64>,
    /// Median of an inference; none where a time says nothing.
    pub median_ms: Option<f64>,
    /// No other point is at least as good in everything and better in something.
    pub on_frontier: bool,
}

/// The frontiers of a run, in the plan's order; a place with one precision has none.
pub fn frontiers(dossier: &Dossier) -> Vec<Frontier> {
    let bytes: HashMap<&str, f64> = dossier
        .metrics
        .iter()
        .filter(|metric| metric.name == "weight_bytes")
        .map(|metric| (metric.attempt.as_str(), metric.value))
        .collect();
    let mut order = Vec::new();
    let mut places: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for (at, (cell, row)) in dossier.view.cells.iter().zip(&dossier.rows).enumerate() {
        let attempt = row.attempt.as_deref().unwrap_or_default();
        let Some(&bytes) = bytes.get(attempt).filter(|_| cell.is_green()) else { continue };
        let title = title(cell);
        if !places.contains_key(&title) {
            order.push(title.clone());
        }
        places.entry(title).or_default().push(point(at, cell, bytes));
    }
    let of = |title: String| {
        let mut points = places.remove(&title).filter(|points| points.len() > 1)?;
        points.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
        let on: Vec<bool> = points.iter().map(|one| !points.iter().any(|other| beats(other, one))).collect();
        points.iter_mut().zip(on).for_each(|(point, on)| point.on_frontier = on);
        let (recommended, why) = recommended(&points);
        Some(Frontier { title, points, recommended, why })
    };
    order.into_iter().filter_map(of).collect()
}

fn title(cell: &CellView) -> String {
    let mut title = format!("{}@{} on {} {}", cell.model, cell.size, cell.browser, cell.backend);
    for (name, usual) in [(&cell.profile, "default"), (&cell.runtime, "webmatrix")] {
        if name != usual {
            title.push_str(&format!(", {name}"));
        }
    }
    title
}

fn point(at: usize, cell: &CellView, bytes: f64) -> Point {
    let full = cell.precision == Precision::Fp32.as_str() && cell.accuracy.is_none();
    let cosine = cell.accuracy.as_ref().map_or(full.then_some(1.0), |accuracy| accuracy.cosine);
    let timed = timed(cell.evidence).is_ok();
    Point {
        cell: at,
        precision: cell.precision.clone(),
        bytes,
        cosine,
        same: cell.accuracy.as_ref().map_or(full.then_some(1.0), |accuracy| accuracy.agreement),
        median_ms: cell.median_ms.filter(|_| timed),
        on_frontier: false,
    }
}

/// Whether `other` is at least as good in everything, and better in something. What is not known is no advantage.
fn beats(other: &Point, one: &Point) -> bool {
    let (Some(others), Some(ones)) = (other.cosine, one.cosine) else { return false };
    let times = other.median_ms.zip(one.median_ms);
    let as_good = other.bytes <= one.bytes && others >= ones && times.is_none_or(|(other, one)| other <= one);
    let better = other.bytes < one.bytes || others > ones || times.is_some_and(|(other, one)| other < one);
    as_good && better
}

/// The smallest that keeps what must be kept. Points come largest first.
fn recommended(points: &[Point]) -> (Option<usize>, String) {
    let keeps = |point: &Point| point.cosine.is_some() && kept(point.cosine) && kept(point.same);
    let Some(at) = points.iter().rposition(keeps) else {
        return (None, format!("no precision keeps {KEPT} of the outputs at full precision"));
    };
    let (point, largest) = (&points[at], &points[0]);
    let mut why = format!("{}: the smallest that keeps a cosine of {KEPT}", point.precision);
    if points.iter().any(|point| point.same.is_some_and(|same| same < 1.0)) {
        why.push_str(&format!(" and {:.0} % of choices", KEPT * 100.0));
    }
    if largest.bytes > point.bytes {
        why.push_str(&format!(
            "; {:.1} times smaller than {}",
            largest.bytes / point.bytes,
            largest.precision
        ));
    }
    let full = points.iter().find(|point| point.precision == Precision::Fp32.as_str());
    if let Some((full, own)) = full.and_then(|full| full.median_ms).zip(point.median_ms)
        && at != 0
    {
        why.push_str(&format!("; {:.2} times its median at fp32", own / full));
    }
    (Some(at), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(precision: &str, bytes: f64, cosine: Option<f64>, median_ms: Option<f64>) -> Point {
        Point {
            cell: 0,
            precision: precision.into(),
            bytes,
            cosine,
            same: None,
            median_ms,
            on_frontier: false,
        }
    }

    #[test]
    fn a_point_is_beaten_only_by_what_is_known() {
        let fp32 = point("fp32", 400.0, Some(1.0), Some(1.0));
        let int8 = point("int8", 100.0, Some(0.999), Some(2.0));
        let worse = point("int8", 120.0, Some(0.99), Some(2.5));
        assert!(!beats(&int8, &fp32) && !beats(&fp32, &int8) && beats(&int8, &worse));
        assert!(!beats(&int8, &int8), "a point does not beat itself");
        assert!(!beats(&int8, &point("int4", 200.0, None, Some(9.0))), "nothing is known of its outputs");
        assert!(beats(&int8, &point("int8", 120.0, Some(0.99), None)), "of hardware that is not timed");
    }

    #[test]
    fn the_smallest_that_keeps_enough_is_recommended() {
        let points = [
            point("fp32", 400.0, Some(1.0), Some(1.0)),
            point("int8", 100.0, Some(0.9999), Some(1.5)),
            point("int4", 60.0, Some(0.98), Some(1.2)),
        ];
        insta::assert_snapshot!(recommended(&points).1, @"int8: the smallest that keeps a cosine of 0.99; 4.0 times smaller than fp32; 1.50 times its median at fp32");
        assert_eq!(recommended(&points[2..]).0, None);
    }
}
