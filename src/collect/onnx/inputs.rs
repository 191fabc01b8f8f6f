//! What a model file is run on: dimensions bound, inputs checked, and seeded where none are given.

use std::collections::BTreeMap;

use bytes::Bytes;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use webmatrix_engine::weights::twin::Draw;

use super::declared::{Declared, Dim, Input};

/// Elements of all inputs: more are a dimension that was bound by mistake.
const MOST_ELEMENTS: usize = 1 << 28;

/// The symbolic dimensions.
pub(super) type Dims = BTreeMap<String, usize>;

/// Binds every symbolic dimension: by the inputs that are given, by `asked`, else by what its name suggests.
///
/// # Errors
/// If an input does not fit, or a dimension is bound twice and differently.
pub(super) fn bind(
    declared: &Declared,
    asked: &Dims,
    given: Option<&SafeTensors<'_>>,
) -> Result<Dims, String> {
    let mut dims = Dims::new();
    if let Some(given) = given {
        let known = |name: &&str| declared.inputs.iter().any(|input| input.name == **name);
        if let Some(name) = given.names().into_iter().find(|name| !known(name)) {
            let names: Vec<&str> = declared.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(format!("input {name:?} is none of the model's: it takes {}", names.join(", ")));
        }
    }
    for (input, view) in
        declared.inputs.iter().filter_map(|input| Some((input, given?.tensor(&input.name).ok()?)))
    {
        fits(input, &view, &mut dims)?;
    }
    for (name, &size) in asked {
        match dims.insert(name.clone(), size) {
            Some(before) if before != size => {
                return Err(format!("dimension {name:?} is {before} in the inputs, not {size}"));
            }
            _ => {}
        }
    }
    let mut elements = 0_usize;
    for input in &declared.inputs {
        for (axis, dim) in input.dims.iter().enumerate() {
            for name in names(dim) {
                dims.entry(name.to_owned()).or_insert_with(|| usual(name, axis));
            }
        }
        let size = input.dims.iter().try_fold(1_usize, |all, dim| all.checked_mul(size(dim, &dims)));
        elements = elements.saturating_add(size.unwrap_or(usize::MAX));
        if elements > MOST_ELEMENTS {
            return Err(format!(
                "input {:?} has more than {MOST_ELEMENTS} elements: bind --dim smaller",
                input.name
            ));
        }
    }
    Ok(dims)
}

/// Checks an input that is given against what is declared, and binds the dimensions that it tells.
fn fits(input: &Input, view: &TensorView<'_>, dims: &mut Dims) -> Result<(), String> {
    let Input { name, dtype, dims: declared } = input;
    if view.dtype() != *dtype {
        return Err(format!("input {name:?} has type {:?}, the model takes {dtype:?}", view.dtype()));
    }
    if view.shape().len() != declared.len() {
        return Err(format!(
            "input {name:?} has shape {:?}, the model takes {} axes",
            view.shape(),
            declared.len()
        ));
    }
    for (axis, (&size, dim)) in view.shape().iter().zip(declared).enumerate() {
        let want = match dim {
            Dim::Fixed(want) => *want,
            // A sum of dimensions is told by its parts.
            Dim::Named(sum) if sum.contains('+') => continue,
            Dim::Named(dim) => *dims.entry(dim.clone()).or_insert(size),
        };
        if size != want {
            return Err(format!("input {name:?} is {size} long on axis {axis}, not {want}"));
        }
    }
    Ok(())
}

/// The names in a dimension: exporters write `past_sequence_length + 1` too.
fn names(dim: &Dim) -> impl Iterator<Item = &str> {
    let text = match dim {
        Dim::Fixed(_) => "",
        Dim::Named(text) => text,
    };
    text.split('+').map(str::trim).filter(|term| !term.is_empty() && term.parse::<usize>().is_err())
}

fn size(dim: &Dim, dims: &Dims) -> usize {
    match dim {
        Dim::Fixed(size) => *size,
        Dim::Named(text) => {
            let term = |term: &str| term.parse().ok().or_else(|| dims.get(term).copied()).unwrap_or(1);
            text.split('+').map(|text| term(text.trim())).fold(0, usize::saturating_add)
        }
    }
}

/// What the model's symbols stand for, sums among them, as it spells them.
pub(super) fn symbols(declared: &Declared, dims: &Dims) -> BTreeMap<String, u32> {
    let of_inputs = declared.inputs.iter().flat_map(|input| &input.dims);
    let named = of_inputs.filter_map(|dim| match dim {
        Dim::Fixed(_) => None,
        Dim::Named(text) => Some((text.clone(), u32::try_from(size(dim, dims)).unwrap_or(u32::MAX))),
    });
    named.collect()
}

/// What a dimension is if nobody says: small, and what its name suggests.
fn usual(name: &str, axis: usize) -> usize {
    let name = name.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if says(&["batch"]) {
        1
    } else if says(&["height", "width"]) {
        224
    } else if says(&["channel"]) {
        3
    } else if says(&["seq", "len", "token"]) || axis > 0 {
        16
    } else {
        1
    }
}

/// Every input: those that are given as they are, the others seeded; named tensors, safetensors.
pub(super) fn inputs(
    declared: &Declared,
    dims: &Dims,
    given: Option<&SafeTensors<'_>>,
    seed: u64,
) -> Result<Bytes, String> {
    let mut all: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for input in &declared.inputs {
        let shape: Vec<usize> = input.dims.iter().map(|dim| size(dim, dims)).collect();
        let bytes = match given.and_then(|given| given.tensor(&input.name).ok()) {
            Some(view) if view.shape() == shape => view.data().to_vec(),
            Some(view) => {
                let (name, is) = (&input.name, view.shape());
                return Err(format!(
                    "input {name:?} has shape {is:?}, with these dimensions it is {shape:?}"
                ));
            }
            None => seeded(input, &shape, seed),
        };
        all.push((&input.name, input.dtype, shape, bytes));
    }
    let views = all.iter().map(|(name, dtype, shape, bytes)| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (*name, view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map(Bytes::from).map_err(|error| error.to_string())
}

/// Values for one input: floats as a twin's, small ids, masks of ones, positions that count.
fn seeded(input: &Input, shape: &[usize], seed: u64) -> Vec<u8> {
    let mut draw = Draw::new(seed, &format!("inputs/{}", input.name));
    let name = input.name.to_lowercase();
    let last = shape.last().copied().unwrap_or(1).max(1);
    let count = shape.iter().product();
    let whole = |draw: &mut Draw, at: usize| -> u8 {
        if name.contains("mask") || input.dtype == Dtype::BOOL {
            1
        } else if name.contains("type") || name.contains("segment") {
            0
        } else if name.contains("position") {
            (at % last).min(127) as u8
        } else if input.dtype == Dtype::U8 {
            draw.below(256) as u8
        } else {
            1 + draw.below(9) as u8
        }
    };
    let mut bytes = Vec::new();
    for at in 0..count {
        match input.dtype {
            Dtype::F32 | Dtype::F64 => {
                let value = if name.contains("mask") { 1.0 } else { draw.normal() };
                match input.dtype {
                    Dtype::F32 => bytes.extend(value.to_le_bytes()),
                    _ => bytes.extend(f64::from(value).to_le_bytes()),
                }
            }
            dtype => {
                // Small and not negative: one byte, and noughts up to the type's width.
                bytes.push(whole(&mut draw, at));
                bytes.extend(std::iter::repeat_n(0, dtype.bitsize() / 8 - 1));
            }
        }
    }
    bytes
}
