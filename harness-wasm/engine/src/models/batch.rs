//! Batches: many items in one inference.
//!
//! Items lie one after another along the first axis of every input, except of those that all share.

use super::Model;
use crate::error::{Error, Result};
use crate::tensor::{Data, NamedTensors, Tensor};
use crate::weights::twin::Draw;

/// Seeded inputs of so many items. The first is the one that a batch of one has.
///
/// # Errors
/// If the class has no such inputs.
pub fn twin_batch(model: &dyn Model, seed: u64, batch: usize, tokens: Option<usize>) -> Result<NamedTensors> {
    let item = |row: usize| {
        let name = if row == 0 { "inputs".to_owned() } else { format!("inputs.{row}") };
        model.twin_inputs(&mut Draw::new(seed, &name), tokens)
    };
    if batch == 0 {
        return Err(Error::input("batch", "is empty"));
    }
    let items = (0..batch).map(item).collect::<Result<Vec<_>>>()?;
    let mut inputs = items[0].clone();
    for (name, tensor) in &mut inputs {
        if !model.shared_inputs().contains(&name.as_str()) {
            let of_items: Vec<&Tensor> = items.iter().map(|item| &item[name]).collect();
            *tensor = joined(&of_items);
        }
    }
    Ok(inputs)
}

/// How many items inputs hold.
pub fn items(model: &dyn Model, inputs: &NamedTensors) -> usize {
    let own = inputs.iter().find(|(name, _)| !model.shared_inputs().contains(&name.as_str()));
    own.and_then(|(_, tensor)| tensor.shape().first().copied()).unwrap_or(1)
}

/// Each item's inputs on their own.
pub fn rows(model: &dyn Model, inputs: &NamedTensors) -> Vec<NamedTensors> {
    let count = items(model, inputs);
    let of = |row: usize| {
        let cut = |(name, tensor): (&String, &Tensor)| {
            let shared = model.shared_inputs().contains(&name.as_str());
            (name.clone(), if shared { tensor.clone() } else { part(tensor, row, count) })
        };
        inputs.iter().map(cut).collect()
    };
    (0..count).map(of).collect()
}

/// Inputs with as many items and tokens as are asked for, by repeating those that there are, or leaving some out.
///
/// # Errors
/// If the class reads no text, or text that cannot be cut: an image's tokens must stay together.
pub fn repeated(
    model: &dyn Model,
    inputs: NamedTensors,
    batch: Option<usize>,
    tokens: Option<usize>,
) -> Result<NamedTensors> {
    let mut inputs = inputs;
    if let Some(tokens) = tokens {
        let text = inputs.get("input_ids").map(|ids| ids.shape().to_vec());
        let has_pictures = model.decoder().is_some() && inputs.contains_key("pixel_values");
        let Some(text) = text.filter(|_| !has_pictures) else {
            return Err(Error::input("input_ids", "this class has no text whose length could be chosen"));
        };
        for name in ["input_ids", "attention_mask", "token_type_ids"] {
            if let Some(tensor) = inputs.get_mut(name).filter(|tensor| tensor.shape() == text) {
                *tensor = columns(tensor, tokens);
            }
        }
    }
    if let Some(batch) = batch {
        let rows = rows(model, &inputs);
        for (name, tensor) in &mut inputs {
            if !model.shared_inputs().contains(&name.as_str()) {
                let of_items: Vec<&Tensor> = (0..batch).map(|row| &rows[row % rows.len()][name]).collect();
                *tensor = joined(&of_items);
            }
        }
    }
    Ok(inputs)
}

/// An integer matrix with as many columns as are asked for, its own over and over.
fn columns(tensor: &Tensor, count: usize) -> Tensor {
    let &[rows, own] = tensor.shape() else { unreachable!("text is [batch, tokens]") };
    let row = |row: usize| (0..count).map(move |column| tensor.as_i32()[row * own + column % own]);
    Tensor::i32([rows, count], (0..rows).flat_map(row).collect())
}

/// Tensors of one shape, one after another along the first axis.
fn joined(tensors: &[&Tensor]) -> Tensor {
    let mut shape = tensors[0].shape().to_vec();
    shape[0] *= tensors.len();
    match tensors[0].data() {
        Data::F32(_) => Tensor::f32(shape, tensors.iter().flat_map(|t| t.as_f32()).copied().collect()),
        Data::I32(_) => Tensor::i32(shape, tensors.iter().flat_map(|t| t.as_i32()).copied().collect()),
    }
}

/// The `row`th of `count` equal parts along the first axis.
fn part(tensor: &Tensor, row: usize, count: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    shape[0] /= count;
    let elements: usize = shape.iter().product();
    let span = row * elements..(row + 1) * elements;
    match tensor.data() {
        Data::F32(values) => Tensor::f32(shape, values[span].to_vec()),
        Data::I32(values) => Tensor::i32(shape, values[span].to_vec()),
    }
}
