//! Whether a cell runs, and why not.

use webmatrix_engine::models::Prompt;
use webmatrix_engine::quant::{Bits, Scheme};
use webmatrix_engine::run::{Loaded, no_packed_caches};
use webmatrix_wire::{Backend, Feature, Precision, Status, TwinSize};

use super::cell::{Cell, NATIVE};
use super::found::{Catalogue, Found};
use super::generation::Generation;
use super::matrix::{Exclude, Matrix};
use super::model::{Runtime, Size};
use super::planned::Decision;

/// What happens to a cell: the first reason against running the cell wins: impossible, absent, not built, not wanted.
pub(super) fn decide(
    cell: &Cell,
    features: &[String],
    matrix: &Matrix,
    generation: &Generation,
    catalogue: &Catalogue<'_>,
) -> Decision {
    let never = |status, reason: String| Decision::Never { status, reason };
    if cell.backend.is_native() != cell.is_native() {
        let reason = if cell.is_native() {
            format!("{} exists in browsers only; the host has native-cpu and native-gpu", cell.backend)
        } else {
            format!("{} runs on the host, not in a browser: its browser label is {NATIVE}", cell.backend)
        };
        return never(Status::NotApplicable, reason);
    }
    if !cell.is_native() {
        match catalogue.get(&cell.browser) {
            None => return never(Status::Unavailable, format!("{} is not on this machine", cell.browser)),
            Some(Found { problem: Some(problem), .. }) => return never(Status::Unavailable, problem.clone()),
            Some(_) => {}
        }
    }
    if cell.runtime == Runtime::OrtWeb && cell.model.class().is_some() {
        let reason = "ort-web runs files, not classes: give it one with --runtime ort-web --model-file FILE";
        return never(Status::NotApplicable, reason.to_owned());
    }
    if let Some(exclude) = matrix.exclude.iter().find(|exclude| exclude.matches(cell)) {
        return never(Status::Skipped, exclude.reason.clone());
    }
    if let Err(reason) = takes(cell, generation) {
        return never(Status::NotApplicable, reason);
    }
    if cell.runtime == Runtime::OrtWeb && !features.is_empty() {
        let reason = format!("{} are features of our engine, which runs no files", features.join(", "));
        return never(Status::NotApplicable, reason);
    }
    if let Some(decision) = features_of(cell.backend, Some(cell.precision), features) {
        return decision;
    }
    if is_made_in_page(cell) && Feature::all(features).any(|feature| feature == Feature::ParallelLoad) {
        let reason = format!("{} is made in the page, which loads nothing of it", cell.model);
        return never(Status::NotApplicable, reason);
    }
    if Feature::all(features).any(|feature| matches!(feature, Feature::Caches(_)))
        && let Err(reason) = packs(cell)
    {
        return never(Status::NotApplicable, reason);
    }
    Decision::Run
}

/// Whether weights and inputs are made in the page: those of a twin that no golden stands for, at full precision.
fn is_made_in_page(cell: &Cell) -> bool {
    let is_golden = cell.size == Size::Tiny && cell.shape.is_usual();
    cell.size.twin().is_some() && !is_golden && cell.precision == Precision::Fp32
}

/// Whether the cell's class can keep its caches packed.
fn packs(cell: &Cell) -> Result<(), String> {
    let class = cell.model.as_str();
    // What a class keeps does not depend on its size.
    let twin =
        Loaded::twin(class, TwinSize::Tiny.as_str(), 0).map_err(|error| format!("{class}: {error}"))?;
    no_packed_caches(&*twin.model).map_or(Ok(()), |why| Err(format!("{class}: {why}")))
}

/// Why a backend cannot run with these features, of a model whose weights are of this precision.
pub(super) fn features_of(
    backend: Backend,
    precision: Option<Precision>,
    features: &[String],
) -> Option<Decision> {
    features.iter().find_map(|name| {
        let (status, reason) = match name.parse::<Feature>() {
            Err(unknown) => (Status::NotImplemented, unknown.to_string()),
            Ok(Feature::ShaderF16) if precision.is_some_and(|precision| precision != Precision::Fp16) => {
                (Status::NotApplicable, "shader-f16 is for weights in fp16".to_owned())
            }
            Ok(Feature::Dp4a) if matches!(precision, Some(Precision::Fp32 | Precision::Fp16)) => {
                (Status::NotApplicable, "dp4a is for quantised weights".to_owned())
            }
            Ok(Feature::RelaxedDot)
                if precision
                    .is_some_and(|precision| !matches!(precision, Precision::Int4 | Precision::Mixed)) =>
            {
                (Status::NotApplicable, "relaxed-dot is for weights of 4 bits".to_owned())
            }
            Ok(Feature::Offload) if precision.is_none() => {
                (Status::NotApplicable, "offload is for models".to_owned())
            }
            Ok(Feature::Weights(scheme)) if precision.is_some() => match stores(&scheme, precision) {
                Ok(()) => return None,
                Err(never) => never,
            },
            Ok(feature) if feature.backends().contains(&backend) => return None,
            Ok(feature) => {
                let names: Vec<&str> = feature.backends().iter().map(|known| known.as_str()).collect();
                (Status::NotApplicable, format!("{feature} is a feature of {}", names.join(" and ")))
            }
        };
        Some(Decision::Never { status, reason })
    })
}

/// Whether a scheme is one, and of this precision.
fn stores(scheme: &str, precision: Option<Precision>) -> Result<(), (Status, String)> {
    let known: Scheme = scheme
        .parse()
        .map_err(|error: webmatrix_engine::Error| (Status::NotImplemented, error.to_string()))?;
    let of = match known {
        Scheme::Half => Precision::Fp16,
        Scheme::Grouped { bits, .. } => match bits {
            Bits::Eight => Precision::Int8,
            Bits::Four => Precision::Int4,
            Bits::Three => Precision::Int3,
            Bits::Two => Precision::Int2,
        },
    };
    match precision == Some(of) {
        true => Ok(()),
        false => Err((Status::NotApplicable, format!("weights-{scheme} is for weights in {of}"))),
    }
}

/// Whether the class takes inputs of the cell's shape and generates as many tokens as are asked for: asked of the engine,
/// which makes the twin's inputs and nothing else. Of weights that are given nothing is known yet.
fn takes(cell: &Cell, generation: &Generation) -> Result<(), String> {
    let (Some(size), Some(class)) = (cell.size.twin(), cell.model.class()) else { return Ok(()) };
    let new = match (class.info().new_tokens, generation.max_new_tokens) {
        (0, _) => 0,
        (usual, asked) => asked.unwrap_or(usual) as usize,
    };
    if cell.shape.tokens.is_none() && (new == 0 || generation.max_new_tokens.is_none()) {
        return Ok(());
    }
    let class = class.as_str();
    let loaded = Loaded::twin_of(class, size.as_str(), 0, 1, cell.shape.tokens.map(|tokens| tokens as usize));
    let loaded = loaded.map_err(|error| {
        let tokens = cell.shape.tokens.unwrap_or_default();
        format!("{class}@{size} with {tokens} tokens: {error}", size = cell.size)
    })?;
    let Some(decoder) = loaded.model.decoder().filter(|_| new > 0) else { return Ok(()) };
    let text = loaded.inputs.get("input_ids").and_then(|ids| ids.shape().last().copied());
    let (tokens, what) = match decoder.prompt() {
        Prompt::Given => (text.unwrap_or_default(), "tokens"),
        Prompt::Start(start) => (start.len(), "to start with"),
    };
    if decoder.max_context() < tokens + new {
        return Err(format!(
            "{class}@{size} has {} positions, too few for {tokens} {what} and {new} new ones",
            decoder.max_context(),
            size = cell.size,
        ));
    }
    Ok(())
}

impl Exclude {
    fn matches(&self, cell: &Cell) -> bool {
        fn on<T: PartialEq>(list: &Option<Vec<T>>, value: &T) -> bool {
            list.as_ref().is_none_or(|list| list.contains(value))
        }
        on(&self.browsers, &cell.browser)
            && self.models.as_ref().is_none_or(|list| cell.model.class().is_some_and(|m| list.contains(&m)))
            && on(&self.sizes, &cell.size)
            && self.batches.as_ref().is_none_or(|list| cell.shape.batch.is_some_and(|n| list.contains(&n)))
            && self
                .sequence_lengths
                .as_ref()
                .is_none_or(|list| cell.shape.tokens.is_some_and(|n| list.contains(&n)))
            && on(&self.backends, &cell.backend)
            && on(&self.precisions, &cell.precision)
            && on(&self.profiles, &cell.profile)
    }
}
