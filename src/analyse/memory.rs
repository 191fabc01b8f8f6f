//! What a cell's memory is for, over time, and what that says of longer contexts.

use std::collections::BTreeMap;

use serde::Serialize;
use webmatrix_wire::MemoryKind;

use super::median;
use crate::store::{CacheRow, CellRow, MemoryRow};

/// The memory of one cell. Bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellMemory {
    /// The cell's id.
    pub cell: String,
    /// Precision of the weights.
    pub precision: String,
    /// The verdict, as stored.
    pub status: Option<String>,
    /// What the backend held at the end, by part; what nobody can tell is absent.
    pub parts: BTreeMap<MemoryKind, u64>,
    /// All parts together.
    pub total: u64,
    /// Whether a part is missing of the total.
    pub partial: bool,
    /// What is kept of the checkpoint's files besides.
    pub files: Option<u64>,
    /// The most that the module's heap ever was.
    pub heap_peak: Option<u64>,
    /// The module's linear memory at the end, which never shrinks.
    pub linear: Option<u64>,
    /// What the heap grows by an inference, the median; what stays above 0 is a leak.
    pub growth: Option<f64>,
    /// Of its caches; none for a model without.
    pub cache: Option<Cache>,
    /// Every moment that was told of, in order.
    pub timeline: Vec<Moment>,
}

/// Caches of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cache {
    /// Positions that they stand for.
    pub positions: u64,
    /// Bytes that a further position takes in all layers together; 0 where all of them see through a window.
    pub bytes_per_token: f64,
    /// What does not grow with the context.
    pub ring: Option<Ring>,
    /// Bytes of an encoder's keys and values, which do not grow with the context either.
    pub encoded: u64,
}

/// Caches behind a sliding window, which are written round and round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ring {
    /// Positions that the widest of them holds.
    pub positions: u64,
    /// Bytes of all of them, from so many positions on.
    pub bytes: u64,
}

impl Cache {
    fn of(states: u64, row: &CacheRow) -> Option<Self> {
        let ring = Ring { positions: row.ring_positions as u64, bytes: row.ring_bytes as u64 };
        let encoded = row.encoded_bytes as u64;
        let growing =
            states.checked_sub(ring.bytes + encoded).filter(|_| row.positions >= 1.0 && states > 0)?;
        let bytes_per_token = growing as f64 / row.positions;
        let ring = Some(ring).filter(|ring| ring.positions > 0);
        Some(Self { positions: row.positions as u64, bytes_per_token, ring, encoded })
    }

    /// How many positions so many bytes hold; none where a longer context takes no more. As long as a context is shorter than a
    /// window, its rings would have as many rows as it has.
    pub fn longest(&self, budget: u64) -> Option<u64> {
        let budget = budget.saturating_sub(self.encoded) as f64;
        let (width, bytes) = self.ring.map_or((0.0, 0.0), |ring| (ring.positions as f64, ring.bytes as f64));
        let within = if width > 0.0 { bytes / width } else { 0.0 };
        if budget < bytes + self.bytes_per_token * width {
            return Some((budget / (self.bytes_per_token + within)) as u64);
        }
        (self.bytes_per_token > 0.0).then(|| ((budget - bytes) / self.bytes_per_token) as u64)
    }
}

/// Memory at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// Milliseconds on the page's clock.
    pub at_ms: f64,
    /// By what it is for.
    pub bytes: BTreeMap<MemoryKind, u64>,
}

/// The cells of a run that told of their memory, in the order of the plan.
pub fn memory(cells: &[CellRow], points: &[MemoryRow], caches: &[CacheRow]) -> Vec<CellMemory> {
    let mut moments: BTreeMap<&str, Vec<Moment>> = BTreeMap::new();
    for point in points {
        let Some(kind) = MemoryKind::ALL.into_iter().find(|kind| kind.as_str() == point.kind) else {
            continue;
        };
        let of = moments.entry(&point.cell).or_default();
        if of.last().is_none_or(|last| last.at_ms != point.at_ms) {
            of.push(Moment { at_ms: point.at_ms, bytes: BTreeMap::new() });
        }
        of.last_mut().expect("pushed").bytes.insert(kind, point.bytes);
    }
    let caches: BTreeMap<&str, &CacheRow> = caches.iter().map(|cache| (cache.cell.as_str(), cache)).collect();
    let one = |row: &CellRow| {
        let timeline = moments.remove(row.cell.as_str())?;
        let cache = caches.get(row.cell.as_str()).copied();
        Some(CellMemory {
            precision: row.precision.clone(),
            status: row.status.clone(),
            ..of(&row.cell, timeline, cache)
        })
    };
    cells.iter().filter_map(one).collect()
}

fn of(cell: &str, timeline: Vec<Moment>, cache: Option<&CacheRow>) -> CellMemory {
    let last = timeline.last().map(|moment| moment.bytes.clone()).unwrap_or_default();
    let most = |kind: MemoryKind| timeline.iter().filter_map(|moment| moment.bytes.get(&kind)).max().copied();
    let parts: BTreeMap<MemoryKind, u64> =
        MemoryKind::PARTS.into_iter().filter_map(|kind| Some((kind, most(kind)?))).collect();
    // The first three moments are before anything is compiled, after it, and after the first inference.
    let heaps: Vec<f64> = timeline
        .iter()
        .skip(2)
        .filter_map(|moment| moment.bytes.get(&MemoryKind::Heap).map(|&bytes| bytes as f64))
        .collect();
    let steps: Vec<f64> = heaps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let states = parts.get(&MemoryKind::States).copied().unwrap_or(0);
    let cache = cache.and_then(|row| Cache::of(states, row));
    CellMemory {
        cell: cell.to_owned(),
        precision: String::new(),
        status: None,
        total: parts.values().sum(),
        partial: parts.len() < MemoryKind::PARTS.len(),
        parts,
        files: last.get(&MemoryKind::Files).copied(),
        heap_peak: most(MemoryKind::HeapPeak),
        linear: most(MemoryKind::Linear),
        growth: median(&steps),
        cache,
        timeline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at_ms: f64, bytes: &[(MemoryKind, u64)]) -> Moment {
        Moment { at_ms, bytes: bytes.iter().copied().collect() }
    }

    #[test]
    fn parts_are_their_most_and_a_leak_is_what_inferences_add() {
        use MemoryKind::{Activations, Files, Heap, HeapPeak, Io, Linear, States, Weights};
        let before = moment(1.0, &[(Weights, 0), (Heap, 100), (HeapPeak, 100), (Linear, 65536), (Files, 70)]);
        let after = |at: f64, heap: u64| {
            let parts = [(Weights, 400), (Activations, 50), (States, 64), (Io, 8), (Files, 70)];
            let heaps = [(Heap, heap), (HeapPeak, heap + 9), (Linear, 131_072)];
            moment(at, &[&parts[..], &heaps[..]].concat())
        };
        let timeline = vec![before, after(2.0, 500), after(3.0, 520), after(4.0, 530), after(5.0, 540)];
        let found = of("c", timeline, Some(&row(16.0, [0.0, 0.0])));
        assert_eq!((found.total, found.partial), (522, false));
        assert_eq!((found.heap_peak, found.linear, found.files), (Some(549), Some(131_072), Some(70)));
        assert_eq!(found.growth, Some(10.0));
        let cache = found.cache.unwrap();
        assert_eq!((cache.positions, cache.bytes_per_token, cache.ring), (16, 4.0, None));
        assert_eq!(cache.longest(1000), Some(250));
    }

    fn row(positions: f64, [ring_positions, ring_bytes]: [f64; 2]) -> CacheRow {
        CacheRow { cell: "c".into(), positions, ring_positions, ring_bytes, encoded_bytes: 0.0 }
    }

    #[test]
    fn what_an_encoder_leaves_does_not_grow() {
        let row = CacheRow { encoded_bytes: 500.0, ..row(100.0, [0.0, 0.0]) };
        let cache = Cache::of(800 + 500, &row).unwrap();
        assert_eq!((cache.bytes_per_token, cache.encoded), (8.0, 500));
        assert_eq!(
            (cache.longest(499), cache.longest(515), cache.longest(1300)),
            (Some(0), Some(1), Some(100))
        );
        assert_eq!(Cache::of(499, &row), None);
    }

    #[test]
    fn what_is_behind_a_window_grows_no_further() {
        // A layer that keeps all, at 8 bytes a position, and one that keeps 10 positions, at 6.
        let mixed = Cache::of(8 * 100 + 60, &row(100.0, [10.0, 60.0])).unwrap();
        assert_eq!((mixed.bytes_per_token, mixed.ring), (8.0, Some(Ring { positions: 10, bytes: 60 })));
        for (budget, positions) in [(0, 0), (28, 2), (139, 9), (140, 10), (148, 11), (860, 100), (8060, 1000)]
        {
            assert_eq!(mixed.longest(budget), Some(positions), "{budget}");
        }
        let all = Cache::of(60, &row(100.0, [10.0, 60.0])).unwrap();
        assert_eq!((all.bytes_per_token, all.longest(59), all.longest(60)), (0.0, Some(9), None));
        // Told of a ring that the states are not: not believed.
        assert_eq!(Cache::of(59, &row(100.0, [10.0, 60.0])), None);
    }

    #[test]
    fn what_a_device_does_not_tell_is_missing_from_the_total() {
        let found = of(
            "c",
            vec![moment(1.0, &[(MemoryKind::Weights, 9), (MemoryKind::Io, 1)])],
            Some(&row(4.0, [0.0, 0.0])),
        );
        assert_eq!((found.total, found.partial, found.cache, found.growth), (10, true, None, None));
    }
}
