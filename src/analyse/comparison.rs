//! Cells beside one another: what a precision, a platform or a feature costs and saves, each figure with its interval.
//!
//! Every figure names the cell that it is held against, and is told of cells that are proven only. What pages uploaded is
//! compared, never what was expected of them.

mod outputs;

use std::collections::HashMap;

use serde::Serialize;
use webmatrix_wire::{EvidenceGrade, Feature, Precision, Status};

use super::perplexity::{self, surprisals};
use super::speed;
use super::stats::{Estimate, FEWEST, median, ratio_in_turn, ratio_of_medians_apart};
use super::view::CellView;
use crate::plan::{Cell, DEFAULT_PROFILE};

/// The version of the document.
pub const VERSION: u32 = 1;

/// What differs between the cells that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Precisions, in one place: memory and latency against fp16, accuracy against fp32.
    Precisions,
    /// Browsers with their backends: latency against the first place, accuracy against fp32 there.
    Platforms,
    /// Features, each alone: all but accuracy against the same cell without any, or with the one that stands for the feature's
    /// absence; accuracy against fp32 without any.
    Features,
}

impl Kind {
    /// Its one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Precisions => "precisions",
            Self::Platforms => "platforms",
            Self::Features => "features",
        }
    }
}

/// A cell, and what was measured of it.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The cell.
    pub view: &'a CellView,
    /// Milliseconds of its timed inferences, by the times that it was run: more than one are rounds, in each of which every
    /// cell of its browser was run in turn.
    pub rounds: &'a [Vec<f64>],
    /// Bytes of its weights and bits that one takes on average, as the page tells them.
    pub weights: Option<(f64, f64)>,
    /// What its page uploaded: named tensors, safetensors.
    pub outputs: Option<&'a [u8]>,
    /// The texts that it was to score, as tokens: equally long; none if it had another task.
    pub texts: Option<&'a [Vec<i64>]>,
    /// Milliseconds of the parts of its start, by the times that it was run; none where nobody asks.
    pub phases: Option<&'a Phases>,
}

impl<'a> Measured<'a> {
    /// A cell of which nothing but its times is looked at.
    pub const fn timed(view: &'a CellView, rounds: &'a [Vec<f64>]) -> Self {
        Self { view, rounds, weights: None, outputs: None, texts: None, phases: None }
    }
}

/// The parts of a start by their names (`load device compile first start`): a list for each time that the cell was run, of one
/// number, or of none where it was not told.
pub type Phases = HashMap<&'static str, Vec<Vec<f64>>>;

/// Cells beside one another: the stable machine form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`VERSION`].
    pub version: u32,
    /// What differs.
    pub kind: Kind,
    /// The run.
    pub run: String,
    /// Whether every latency ratio is of cells that were run in turn. Where they were not, what changes on a machine while it
    /// measures is a part of the ratio.
    pub interleaved: bool,
    /// Cell by cell, in the plan's order.
    pub rows: Vec<Row>,
}

/// A cell of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The cell's id.
    pub cell: String,
    /// The model's class.
    pub model: String,
    /// The model's size, and its inputs' shape where that is asked for.
    pub size: String,
    /// The browser's label.
    pub browser: String,
    /// The backend.
    pub backend: String,
    /// Of the weights.
    pub precision: String,
    /// What is switched on.
    pub profile: String,
    /// The status; none without a verdict.
    pub status: Option<Status>,
    /// What stands behind it.
    pub evidence: EvidenceGrade,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What speaks against its having computed where it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// What its weights take.
    pub memory: Option<Memory>,
    /// How long it takes.
    pub latency: Latency,
    /// How long it takes until the first result is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting: Option<Starting>,
    /// What its outputs lose.
    pub accuracy: Option<Accuracy>,
    /// How surprised it is by the text that it was given.
    pub perplexity: Option<Perplexity>,
    /// How many times smaller, times how many times as fast.
    pub efficiency: Option<Estimate>,
}

/// What weights take: measured in the page, scales included, and exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Bytes.
    pub bytes: u64,
    /// Bits a weight on average, over the whole model.
    pub bits_per_weight: f64,
    /// The cell that it is held against; none if it did not pass.
    pub against: Option<String>,
    /// How much less it is: 0.7 is 70 % less.
    pub reduction: Option<f64>,
}

/// How long an inference takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Median, in milliseconds; none where a time means nothing.
    pub median_ms: Option<f64>,
    /// The cell that it is held against.
    pub against: Option<String>,
    /// This over that: below 1 is faster.
    pub ratio: Option<Estimate>,
    /// Whether the two were run in turn, in so many rounds as the ratio counts.
    pub in_turn: bool,
    /// What may be concluded: `faster`, `slower`, `no difference shown`, or why nothing.
    pub says: String,
}

/// How long the parts of a start take, each beside the cell that latency is held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Starting {
    /// Fetching (or making) config, weights and inputs.
    pub load: Latency,
    /// Making the device.
    pub device: Latency,
    /// Building graphs, making pipelines, uploading weights.
    pub compile: Latency,
    /// The first inference.
    pub first: Latency,
    /// Everything from the job's beginning to the end of the first inference: parts may overlap.
    pub start: Latency,
}

/// How far outputs are from those of the model at full precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// The cell whose uploaded outputs they are held against; where there is none, the answer that was recorded with this
    /// one's, and no interval.
    pub against: String,
    /// Smallest cosine over all outputs of floats, over rows of their last axis.
    pub cosine: Option<Estimate>,
    /// Of logits, the part of rows whose likeliest class is the same, each row from the same inputs: in texts, teacher-forced.
    pub agreement: Option<Estimate>,
    /// Of logits, the mean Kullback–Leibler divergence of a row, in nats.
    pub divergence: Option<Estimate>,
}

/// How surprised a model is by a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// e to the mean surprise of a token, in nats.
    pub perplexity: Estimate,
    /// The cell that it is held against.
    pub against: Option<String>,
    /// This over that, token by token.
    pub ratio: Option<Estimate>,
}

/// Whether a cell was timed on what it claims, and not on software in its place.
fn timed(cell: &Measured<'_>) -> Result<(), &'static str> {
    speed::timed(cell.view.evidence)
}

/// Holds cells of one run against one another.
pub fn comparison(kind: Kind, run: &str, cells: &[Measured<'_>]) -> Comparison {
    let parsed: Vec<(Option<Cell>, &Measured<'_>)> =
        cells.iter().map(|cell| (cell.view.id.parse().ok(), cell)).collect();
    let known: Vec<(&Cell, &Measured<'_>)> =
        parsed.iter().filter_map(|(cell, measured)| Some((cell.as_ref()?, *measured))).collect();
    let among = Among { kind, cells: &known };
    let rows: Vec<Row> = known.iter().map(|&(cell, measured)| among.row(cell, measured)).collect();
    let mut ratios = rows.iter().filter(|row| row.latency.ratio.is_some()).peekable();
    let interleaved = ratios.peek().is_some() && ratios.all(|row| row.latency.in_turn);
    Comparison { version: VERSION, kind, run: run.to_owned(), interleaved, rows }
}

/// The cells that a cell may be held against.
struct Among<'a> {
    kind: Kind,
    cells: &'a [(&'a Cell, &'a Measured<'a>)],
}

impl<'a> Among<'a> {
    /// The first proven cell that is as asked.
    fn first(&self, is: impl Fn(&Cell, &Measured<'_>) -> bool) -> Option<&'a Measured<'a>> {
        let found = self.cells.iter().find(|(cell, measured)| measured.view.is_green() && is(cell, measured));
        found.map(|(_, measured)| *measured)
    }

    /// The same place and model at half precision, else at full.
    fn coarser(&self, cell: &Cell) -> Option<&'a Measured<'a>> {
        let at = |precision| {
            let wanted = Cell { precision, ..cell.clone() };
            self.first(|known, _| *known == wanted)
        };
        at(Precision::Fp16).or_else(|| at(Precision::Fp32))
    }

    /// The same with no feature switched on, or with the one that stands for the absence of the cell's.
    fn plain(&self, cell: &Cell) -> Option<&'a Measured<'a>> {
        let without = cell.profile.parse::<Feature>().ok().and_then(|feature| feature.opposite());
        let profile = without.map_or_else(|| DEFAULT_PROFILE.to_owned(), |feature| feature.to_string());
        let wanted = Cell { profile, ..cell.clone() };
        self.first(|known, _| *known == wanted)
    }

    /// The first place where the same was timed.
    fn first_place(&self, cell: &Cell) -> Option<&'a Measured<'a>> {
        self.first(|known, measured| {
            same_subject(known, cell) && known.precision == cell.precision && timed(measured).is_ok()
        })
    }

    /// Full precision: in the same place, or in the first that has it.
    fn full(&self, cell: &Cell) -> Option<&'a Measured<'a>> {
        let full = |known: &Cell| known.precision == Precision::Fp32 && same_subject(known, cell);
        match self.kind {
            Kind::Features => {
                let precision = Precision::Fp32;
                let wanted = Cell { profile: DEFAULT_PROFILE.to_owned(), precision, ..cell.clone() };
                self.first(|known, _| *known == wanted)
            }
            Kind::Precisions => self.first(|known, _| full(known) && same_place(known, cell)),
            Kind::Platforms => self.first(|known, _| full(known)),
        }
    }

    fn row(&self, cell: &Cell, measured: &Measured<'_>) -> Row {
        let view = measured.view;
        let mut row = Row {
            cell: view.id.clone(),
            model: view.model.clone(),
            size: format!("{}{}", cell.size, cell.shape),
            browser: view.browser.clone(),
            backend: view.backend.clone(),
            precision: view.precision.clone(),
            profile: view.profile.clone(),
            status: view.status,
            evidence: view.evidence,
            reason: None,
            doubt: view.doubt.clone(),
            memory: None,
            latency: Latency::default(),
            starting: None,
            accuracy: None,
            perplexity: None,
            efficiency: None,
        };
        if !view.is_green() {
            row.reason = Some(view.error.clone().unwrap_or_else(|| "not proven".to_owned()));
            row.latency.says = "not measured".to_owned();
            return row;
        }
        let other = match self.kind {
            Kind::Features => self.plain(cell),
            Kind::Precisions | Kind::Platforms => self.coarser(cell),
        };
        row.memory = memory(measured, other);
        let beside = match self.kind {
            Kind::Precisions | Kind::Features => other,
            Kind::Platforms => self.first_place(cell),
        };
        row.latency = latency(measured, beside);
        row.starting = measured.phases.is_some().then(|| starting(measured, beside));
        let full = self.full(cell);
        row.accuracy = match full {
            Some(full) if full.view.id == view.id => None,
            Some(full) => accuracy(measured, full).or_else(|| recorded(view)),
            None => recorded(view),
        };
        row.perplexity = perplexity(measured, full);
        let smaller =
            row.memory.as_ref().and_then(|memory| memory.reduction).map(|saved| 1.0 / (1.0 - saved));
        let faster = row.latency.ratio.map(Estimate::inverse);
        row.efficiency = smaller.zip(faster).map(|(smaller, faster)| faster.scaled(smaller));
        row
    }
}

/// Whether two cells are of the same model on the same inputs.
fn same_subject(a: &Cell, b: &Cell) -> bool {
    (&a.model, a.size, a.shape, a.runtime, &a.profile) == (&b.model, b.size, b.shape, b.runtime, &b.profile)
}

fn same_place(a: &Cell, b: &Cell) -> bool {
    (&a.browser, a.backend) == (&b.browser, b.backend)
}

fn memory(measured: &Measured<'_>, against: Option<&Measured<'_>>) -> Option<Memory> {
    let (bytes, bits_per_weight) = measured.weights?;
    let other = against.and_then(|against| Some((against.view.id.clone(), against.weights?.0)));
    Some(Memory {
        bytes: bytes as u64,
        bits_per_weight,
        reduction: other.as_ref().filter(|(_, of)| *of > 0.0).map(|(_, of)| 1.0 - bytes / of),
        against: other.map(|(cell, _)| cell),
    })
}

fn latency(measured: &Measured<'_>, against: Option<&Measured<'_>>) -> Latency {
    let says = |says: &str| Latency { says: says.to_owned(), ..Latency::default() };
    if let Err(why) = timed(measured) {
        return says(why);
    }
    let median_ms = median(&measured.rounds.concat());
    let Some(against) = against.filter(|against| timed(against).is_ok()) else {
        return Latency { median_ms, ..says("nothing to hold it against") };
    };
    let id = Some(against.view.id.clone());
    if against.view.id == measured.view.id {
        return Latency { median_ms, against: id, ..says("the baseline") };
    }
    let in_turn = are_in_turn(measured, against);
    let ratio = if in_turn {
        ratio_in_turn(against.rounds, measured.rounds)
    } else {
        ratio_of_medians_apart(&against.rounds.concat(), &measured.rounds.concat())
    };
    let text = match ratio {
        Some(Estimate { lo: Some(lo), hi: Some(hi), .. }) => match (hi < 1.0, lo > 1.0) {
            (true, _) => "faster",
            (_, true) => "slower",
            _ => "no difference shown",
        },
        Some(_) => "too few samples",
        None => "not measured",
    };
    Latency { median_ms, against: id, ratio, in_turn, says: text.to_owned() }
}

fn starting(measured: &Measured<'_>, against: Option<&Measured<'_>>) -> Starting {
    let part = |name: &str| {
        let of = |cell: &Measured<'_>| {
            cell.phases.and_then(|phases| phases.get(name)).cloned().unwrap_or_default()
        };
        let (own, others) = (of(measured), against.map(of).unwrap_or_default());
        let against = against.map(|against| Measured { rounds: &others, ..*against });
        latency(&Measured { rounds: &own, ..*measured }, against.as_ref())
    };
    Starting {
        load: part("load"),
        device: part("device"),
        compile: part("compile"),
        first: part("first"),
        start: part("start"),
    }
}

/// Whether two cells were run in turn, often enough to draw rounds. Browsers have their turns one after another.
pub(super) fn are_in_turn(a: &Measured<'_>, b: &Measured<'_>) -> bool {
    a.view.browser == b.view.browser && a.rounds.len() == b.rounds.len() && a.rounds.len() >= FEWEST
}

/// What was uploaded, beside what was uploaded at full precision; none where either is missing.
pub(super) fn accuracy(measured: &Measured<'_>, full: &Measured<'_>) -> Option<Accuracy> {
    let outputs::Distance { cosine, agreement, divergence } =
        outputs::distance(measured.outputs?, full.outputs?)?;
    Some(Accuracy { against: full.view.id.clone(), cosine, agreement, divergence })
}

/// What was recorded with the cell, where nothing stands beside it.
fn recorded(view: &CellView) -> Option<Accuracy> {
    let accuracy = view.accuracy.as_ref()?;
    let alone = |value: Option<f64>| value.map(|value| Estimate { value, lo: None, hi: None, count: 0 });
    let (cosine, agreement) = (alone(accuracy.cosine), alone(accuracy.agreement));
    Some(Accuracy { against: accuracy.reference.clone(), cosine, agreement, divergence: None })
}

fn perplexity(measured: &Measured<'_>, full: Option<&Measured<'_>>) -> Option<Perplexity> {
    let nats = |cell: &Measured<'_>| surprisals(cell.outputs?, cell.texts?);
    let own = nats(measured)?;
    let perplexity = perplexity::perplexity(&own)?;
    let other = full.filter(|full| full.view.id != measured.view.id);
    let other = other.and_then(|full| Some((full.view.id.clone(), nats(full)?)));
    let ratio = other.as_ref().and_then(|(_, full)| perplexity::ratio(&own, full));
    Some(Perplexity { perplexity, ratio, against: other.map(|(cell, _)| cell) })
}

#[cfg(test)]
pub(super) mod tests;
