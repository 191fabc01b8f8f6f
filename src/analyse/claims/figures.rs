//! What was measured of a run's cells, as far as it counts.

use std::borrow::Cow;
use std::collections::HashMap;

use webmatrix_wire::{EvidenceGrade, Job, JobKind, Precision, Status};

use crate::analyse::comparison::{Accuracy, Measured, accuracy, are_in_turn};
use crate::analyse::dossier::Dossier;
use crate::analyse::memory::CellMemory;
use crate::analyse::ratios::rounds;
use crate::analyse::speed::timed;
use crate::analyse::stats::{Estimate, FEWEST, median, ratio_in_turn, ratio_of_medians_apart};
use crate::analyse::view::CellView;
use crate::collect::Estimated;
use crate::plan::axis::BrowserKind;
use crate::plan::{Against, Cell, ChosenCells, DEFAULT_PROFILE, Metric, MetricKind, NO_FEATURE};

/// What pages uploaded, by attempt.
pub type Uploaded = HashMap<String, Vec<u8>>;

/// A figure, and why it has no interval, if it has none.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) value: Estimate,
    pub(super) note: Option<&'static str>,
}

/// The cells of a run with everything that was measured of them.
pub(super) struct Figures<'a> {
    cells: Vec<Known<'a>>,
    places: HashMap<Cell, usize>,
    rounds: HashMap<&'a str, Vec<Vec<f64>>>,
    /// Attempts that passed, in order, by cell.
    passed: HashMap<&'a str, Vec<&'a str>>,
    metrics: HashMap<(&'a str, &'a str), f64>,
    memory: HashMap<&'a str, &'a CellMemory>,
    uploaded: &'a Uploaded,
}

struct Known<'a> {
    view: &'a CellView,
    cell: Cell,
    /// The attempt that decided.
    attempt: &'a str,
    kind: Option<BrowserKind>,
    /// What its profile switches on, as its page was told; none if that is not known.
    features: Option<Vec<String>>,
}

impl Known<'_> {
    /// Whether it has this feature and no other, or none at all.
    fn has(&self, feature: &str) -> bool {
        match self.features.as_deref() {
            Some([]) => feature == NO_FEATURE,
            Some([one]) => one == feature,
            _ => false,
        }
    }
}

impl<'a> Figures<'a> {
    pub(super) fn of(dossier: &'a Dossier, uploaded: &'a Uploaded) -> Self {
        let kinds: HashMap<&str, BrowserKind> = dossier
            .view
            .browsers
            .iter()
            .filter_map(|browser| Some((browser.label.as_str(), browser.kind.parse().ok()?)))
            .collect();
        let jobs: HashMap<&str, &str> =
            dossier.jobs.iter().map(|row| (row.attempt.as_str(), row.job.as_str())).collect();
        // A view without anything behind it has no rows: then nothing is known of attempts.
        let attempts: HashMap<&str, &str> = dossier
            .rows
            .iter()
            .filter_map(|row| Some((row.cell.as_str(), row.attempt.as_deref()?)))
            .collect();
        let known = |view: &'a CellView| {
            let cell: Cell = view.id.parse().ok()?;
            let attempt = attempts.get(view.id.as_str()).copied().unwrap_or_default();
            let features = features(&cell, jobs.get(attempt).copied());
            Some(Known { view, attempt, kind: kinds.get(cell.browser.as_str()).copied(), features, cell })
        };
        let cells: Vec<Known<'_>> = dossier.view.cells.iter().filter_map(known).collect();
        let places = cells.iter().enumerate().map(|(at, known)| (known.cell.clone(), at)).collect();
        let mut passed: HashMap<&str, Vec<&str>> = HashMap::new();
        for attempt in &dossier.attempts {
            if let (Some(cell), Some("pass")) = (&attempt.cell, attempt.status.as_deref()) {
                passed.entry(cell).or_default().push(&attempt.attempt);
            }
        }
        Self {
            cells,
            places,
            rounds: rounds(dossier),
            passed,
            metrics: dossier
                .metrics
                .iter()
                .map(|row| ((row.attempt.as_str(), row.name.as_str()), row.value))
                .collect(),
            memory: dossier.memory.iter().map(|memory| (memory.cell.as_str(), memory)).collect(),
            uploaded,
        }
    }

    pub(super) fn id(&self, at: usize) -> &str {
        &self.cells[at].view.id
    }

    pub(super) fn model(&self, at: usize) -> String {
        self.cells[at].cell.model.to_string()
    }

    /// Timed inferences of a cell, over all rounds.
    pub(super) fn samples(&self, at: usize) -> usize {
        self.rounds.get(self.id(at)).map_or(0, |rounds| rounds.iter().map(Vec::len).sum())
    }

    /// The cells that are meant, but for those that cannot exist, or not here.
    pub(super) fn chosen(&self, wanted: &ChosenCells) -> Vec<usize> {
        let is = |known: &Known<'_>| {
            let Known { cell, kind, view, .. } = known;
            let class = cell.model.class();
            let takes =
                |what: &String| class.is_some_and(|class| class.info().takes().any(|taken| taken == what));
            !matches!(view.status, Some(Status::NotApplicable | Status::Unavailable))
                && any(&wanted.models, |name| class.is_some_and(|class| class.as_str() == name))
                && any(&wanted.takes, takes)
                && any(&wanted.sizes, |size| *size == cell.size)
                && any(&wanted.browsers, |wanted| Some(*wanted) == *kind)
                && any(&wanted.backends, |backend| *backend == cell.backend)
                && any(&wanted.precisions, |precision| *precision == cell.precision)
                && known.has(wanted.feature.as_deref().unwrap_or(NO_FEATURE))
        };
        (0..self.cells.len()).filter(|&at| is(&self.cells[at])).collect()
    }

    /// The cells that are the same but for the axis that is named.
    pub(super) fn beside(&self, at: usize, against: &Against) -> Vec<usize> {
        let own = &self.cells[at].cell;
        let place = |cell: Cell| self.places.get(&cell).copied().into_iter().collect();
        if let Some(precision) = against.precision {
            return place(Cell { precision, ..own.clone() });
        }
        if let Some(backend) = against.backend {
            return place(Cell { backend, ..own.clone() });
        }
        let subject = |cell: &Cell| (cell.size, cell.shape, cell.runtime, cell.backend, cell.precision);
        let is = |Known { cell, kind, .. }: &Known<'_>| {
            cell.model == own.model
                && subject(cell) == subject(own)
                && if against.feature.is_some() {
                    cell.browser == own.browser
                } else {
                    cell.profile == own.profile && kind.is_some_and(|kind| against.browsers.contains(&kind))
                }
        };
        let is = |known: &Known<'_>| {
            is(known) && against.feature.as_ref().is_none_or(|feature| known.has(feature))
        };
        (0..self.cells.len()).filter(|&other| other != at && is(&self.cells[other])).collect()
    }

    /// Whether what was measured of a cell counts; else why not.
    pub(super) fn counts(&self, at: usize, kind: MetricKind) -> Result<(), String> {
        let view = self.cells[at].view;
        if !view.is_green() {
            return Err(match view.status {
                Some(Status::Pass) => "not proven".to_owned(),
                Some(status) => format!("did not pass: {status}"),
                None => "has no verdict".to_owned(),
            });
        }
        match kind {
            MetricKind::Time => {
                timed(view.evidence)?;
                match (view.flaky, &view.doubt) {
                    (true, _) => Err("passed only on a retry".to_owned()),
                    (_, Some(doubt)) => Err(doubt.clone()),
                    (false, None) => Ok(()),
                }
            }
            MetricKind::Size | MetricKind::Accuracy if view.evidence == EvidenceGrade::Fallback => {
                Err("not measured on the backend asked for".to_owned())
            }
            MetricKind::Size | MetricKind::Accuracy => Ok(()),
        }
    }

    /// The figure of a cell by itself; else why it has none.
    pub(super) fn alone(&self, at: usize, metric: Metric) -> Result<Figure, &'static str> {
        match metric.kind() {
            MetricKind::Accuracy => self.accuracy(at, metric),
            MetricKind::Size => self.size(at, metric).map(exact).ok_or("was not told"),
            MetricKind::Time => Err("is of one machine, and stands for nothing alone"),
        }
    }

    /// A cell's figure over that of another; `draw` where intervals are drawn.
    pub(super) fn ratio(
        &self,
        at: usize,
        other: usize,
        metric: Metric,
        draw: bool,
    ) -> Result<Figure, &'static str> {
        if metric.kind() == MetricKind::Time {
            return self.time_ratio(at, other, metric, draw);
        }
        let (own, other) = (self.size(at, metric), self.size(other, metric));
        match own.zip(other) {
            Some((own, other)) if other > 0.0 => Ok(exact(own / other)),
            Some(_) => Err("nothing was held"),
            None => Err("was not told"),
        }
    }

    fn metric(&self, attempt: &str, name: &str) -> Option<f64> {
        self.metrics.get(&(attempt, name)).copied()
    }

    /// What is counted; none where nobody told it, or not all of it.
    fn size(&self, at: usize, metric: Metric) -> Option<f64> {
        let known = &self.cells[at];
        let memory = || self.memory.get(known.view.id.as_str());
        match metric {
            Metric::Held => memory().filter(|memory| !memory.partial).map(|memory| memory.total as f64),
            // What goes round takes no more by the token: a part of a cache only is no figure of the whole.
            Metric::CachePerToken => {
                memory()?.cache.filter(|cache| cache.ring.is_none()).map(|cache| cache.bytes_per_token)
            }
            _ => self.metric(known.attempt, metric.as_str()),
        }
    }

    /// What was timed, by the times that the cell was run.
    fn times(&self, at: usize, metric: Metric) -> Cow<'_, [Vec<f64>]> {
        let id = self.id(at);
        if metric == Metric::Latency {
            return Cow::Borrowed(self.rounds.get(id).map_or(&[], Vec::as_slice));
        }
        let told = |attempt: &&str| self.metric(attempt, metric.as_str()).map(|value| vec![value]);
        self.passed.get(id).into_iter().flatten().filter_map(told).collect()
    }

    fn time_ratio(
        &self,
        at: usize,
        other: usize,
        metric: Metric,
        draw: bool,
    ) -> Result<Figure, &'static str> {
        let (own, others) = (self.times(at, metric), self.times(other, metric));
        let (one, two) = (self.measured(at, &own), self.measured(other, &others));
        let medians =
            |rounds: &[Vec<f64>]| rounds.iter().filter_map(|round| median(round)).collect::<Vec<_>>();
        let plain = || {
            let (own, other) = (median(&own.concat())?, median(&others.concat())?);
            (other > 0.0).then_some(Estimate { value: own / other, lo: None, hi: None, count: 1 })
        };
        let (drawn, note) = if !draw {
            (plain(), Some("more timed inferences than intervals are drawn from: report fewer cells"))
        } else if are_in_turn(&one, &two) {
            (ratio_in_turn(&others, &own), None)
        } else {
            // Not in turn: what changed on the machine meanwhile is a part of the ratio, and only what differs from round to
            // round tells how much.
            let (own, others) = (medians(&own), medians(&others));
            match own.len().min(others.len()) >= FEWEST {
                true => (ratio_of_medians_apart(&others, &own), None),
                false => (plain(), Some("not run in turn: what changed meanwhile is a part of it")),
            }
        };
        let value =
            drawn.filter(|drawn| drawn.value.is_finite() && drawn.value > 0.0).ok_or("was not timed")?;
        Ok(Figure { value, note: note.or(Some("too few rounds")) })
    }

    fn measured<'m>(&'m self, at: usize, rounds: &'m [Vec<f64>]) -> Measured<'m> {
        let known = &self.cells[at];
        let outputs = self.uploaded.get(known.attempt).map(Vec::as_slice);
        Measured { outputs, ..Measured::timed(known.view, rounds) }
    }

    /// Of outputs beside those that the same place uploaded at full precision without any feature.
    fn accuracy(&self, at: usize, metric: Metric) -> Result<Figure, &'static str> {
        let known = &self.cells[at];
        if metric == Metric::PerplexityRatio {
            let scored = known.view.perplexity.as_ref().ok_or("was given no text to be scored by")?;
            let ratio = scored.ratio.ok_or("is at full precision itself, or nothing else is")?;
            let Estimated { value, lo, hi } = ratio;
            let value = Estimate { value, lo, hi, count: scored.tokens as usize };
            return Ok(Figure { value, note: Some("too few tokens for an interval") });
        }
        let full =
            Cell { precision: Precision::Fp32, profile: DEFAULT_PROFILE.to_owned(), ..known.cell.clone() };
        if full == known.cell {
            return Err("is at full precision itself");
        }
        let full = self.places.get(&full).filter(|full| self.counts(**full, MetricKind::Accuracy).is_ok());
        let drawn = full.and_then(|&full| accuracy(&self.measured(at, &[]), &self.measured(full, &[])));
        if let Some(Accuracy { cosine, agreement, divergence, .. }) = drawn {
            let value = match metric {
                Metric::Cosine => cosine,
                Metric::Agreement => agreement,
                _ => divergence,
            };
            let value = value.ok_or("has no meaning for its outputs")?;
            return Ok(Figure { value, note: Some("too few rows of outputs for an interval") });
        }
        let recorded = known.view.accuracy.as_ref();
        let value = match metric {
            Metric::Cosine => recorded.and_then(|recorded| recorded.cosine),
            Metric::Agreement => recorded.and_then(|recorded| recorded.agreement),
            _ => None,
        };
        let value = value.ok_or("has nothing at full precision to be told against")?;
        let value = Estimate { value, lo: None, hi: None, count: 0 };
        Ok(Figure {
            value,
            note: Some("no uploaded outputs at full precision beside it, and so no interval"),
        })
    }
}

/// What its page was told to switch on; what is called `default` switches on nothing.
fn features(cell: &Cell, job: Option<&str>) -> Option<Vec<String>> {
    let told = job.and_then(|job| serde_json::from_str::<Job>(job).ok()).map(|job| job.kind);
    match told {
        Some(JobKind::Cell(given) | JobKind::Trace(given)) => Some(given.features),
        _ if cell.profile == DEFAULT_PROFILE => Some(Vec::new()),
        _ => None,
    }
}

/// Nothing wanted is everything.
fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// What is counted varies with nothing.
fn exact(value: f64) -> Figure {
    Figure { value: Estimate { value, lo: Some(value), hi: Some(value), count: 1 }, note: None }
}
