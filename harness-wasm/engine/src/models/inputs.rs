//! The inputs that a model knows, taken out of what was given and checked.

use crate::error::{Error, Result};
use crate::tensor::{DType, Data, NamedTensors, Tensor};

/// Takes the inputs a model knows out of what was given.
pub(crate) struct Inputs<'t> {
    given: &'t NamedTensors,
    taken: NamedTensors,
    /// Names that were looked at, taken or not.
    known: Vec<&'static str>,
}

impl<'t> Inputs<'t> {
    pub(crate) fn new(given: &'t NamedTensors) -> Self {
        Self { given, taken: NamedTensors::new(), known: Vec::new() }
    }

    /// What was given under this name, which from now on is no stranger.
    pub(crate) fn given(&mut self, name: &'static str) -> Option<&'t Tensor> {
        self.known.push(name);
        self.given.get(name)
    }

    fn required(&mut self, name: &'static str) -> Result<&'t Tensor> {
        self.given(name).ok_or_else(|| Error::input(name, "missing"))
    }

    /// Takes a tensor made from what was given.
    pub(crate) fn put(&mut self, name: &'static str, tensor: Tensor) {
        self.taken.insert(name.to_owned(), tensor);
    }

    /// A required integer input of rank 2 with values in `0..limit`.
    pub(crate) fn ids(&mut self, name: &'static str, limit: usize) -> Result<[usize; 2]> {
        let tensor = self.required(name)?;
        self.take_ids(name, tensor.clone(), limit)
    }

    /// An optional integer input of a known shape, filled with `default` if absent.
    pub(crate) fn ids_or(
        &mut self,
        name: &'static str,
        shape: [usize; 2],
        default: i32,
        limit: usize,
    ) -> Result<()> {
        let tensor = match self.given(name) {
            Some(tensor) if tensor.shape() != shape => {
                return Err(Error::input(
                    name,
                    format!("has shape {:?} where {shape:?} belongs", tensor.shape()),
                ));
            }
            Some(tensor) => tensor.clone(),
            None => Tensor::i32(shape, vec![default; shape[0] * shape[1]]),
        };
        self.take_ids(name, tensor, limit).map(|_| ())
    }

    /// An optional mask of a known shape that must hide nothing: for classes where padding is not built.
    pub(crate) fn full_mask(&mut self, name: &'static str, shape: [usize; 2]) -> Result<()> {
        self.ids_or(name, shape, 1, 2)?;
        let mask = self.taken.remove(name).expect("just taken");
        if mask.as_i32().contains(&0) {
            let reason = "padding is not implemented for this class: send full sequences";
            return Err(Error::input(name, reason));
        }
        Ok(())
    }

    /// An optional mask of a known shape, for classes that make something else of it.
    pub(crate) fn mask(&mut self, name: &'static str, shape: &[usize]) -> Result<Option<&'t [i32]>> {
        let Some(mask) = self.given(name) else { return Ok(None) };
        let Data::I32(values) = mask.data() else {
            return Err(Error::input(name, "holds floats where integers belong"));
        };
        if mask.shape() != shape {
            return Err(Error::input(name, format!("has shape {:?} where {shape:?} belongs", mask.shape())));
        }
        match values.iter().find(|value| !(0..2).contains(*value)) {
            Some(bad) => Err(Error::input(name, format!("holds {bad}, outside 0..2"))),
            None => Ok(Some(values)),
        }
    }

    fn take_ids(&mut self, name: &str, tensor: Tensor, limit: usize) -> Result<[usize; 2]> {
        let &[batch, tokens] = tensor.shape() else {
            return Err(Error::input(
                name,
                format!("has shape {:?} where [batch, tokens] belongs", tensor.shape()),
            ));
        };
        let Data::I32(values) = tensor.data() else {
            return Err(Error::input(name, "holds floats where integers belong"));
        };
        if batch == 0 || tokens == 0 {
            return Err(Error::input(name, "is empty"));
        }
        if let Some(bad) = values.iter().find(|&&v| v < 0 || v as usize >= limit) {
            return Err(Error::input(name, format!("holds {bad}, outside 0..{limit}")));
        }
        self.taken.insert(name.to_owned(), tensor);
        Ok([batch, tokens])
    }

    /// A required float input of this shape, where `None` is any size.
    pub(crate) fn floats(&mut self, name: &'static str, shape: &[Option<usize>]) -> Result<Vec<usize>> {
        let tensor = self.required(name)?;
        let fits = tensor.shape().len() == shape.len()
            && tensor
                .shape()
                .iter()
                .zip(shape)
                .all(|(&have, want)| have > 0 && want.is_none_or(|want| want == have));
        if !fits || tensor.dtype() != DType::F32 {
            let want: Vec<String> =
                shape.iter().map(|size| size.map_or("any".to_owned(), |size| size.to_string())).collect();
            return Err(Error::input(
                name,
                format!(
                    "is {:?} {:?} where floats of [{}] belong",
                    tensor.dtype(),
                    tensor.shape(),
                    want.join(", ")
                ),
            ));
        }
        self.taken.insert(name.to_owned(), tensor.clone());
        Ok(tensor.shape().to_vec())
    }

    /// Audio, `[samples]` or `[batch, samples]`, as the latter.
    pub(crate) fn audio(&mut self, name: &'static str) -> Result<Tensor> {
        let tensor = self.required(name)?;
        let shape = match *tensor.shape() {
            [samples] => [1, samples],
            [batch, samples] => [batch, samples],
            _ => [0, 0],
        };
        if tensor.dtype() != DType::F32 || shape.contains(&0) {
            let reason = format!(
                "is {:?} {:?} where floats of [batch, samples] belong",
                tensor.dtype(),
                tensor.shape()
            );
            return Err(Error::input(name, reason));
        }
        Ok(tensor.clone().reshaped(shape))
    }

    /// The inputs taken; one that was given but never looked at is an error, since ignoring it would
    /// silently compute something else than was asked.
    pub(crate) fn finish(self) -> Result<NamedTensors> {
        match self.given.keys().find(|name| !self.known.contains(&name.as_str())) {
            Some(name) => Err(Error::input(name, "this model takes no such input")),
            None => Ok(self.taken),
        }
    }
}

/// The rows of audio `[batch, samples]`.
pub(crate) fn rows(audio: &Tensor) -> Vec<&[f32]> {
    audio.as_f32().chunks_exact(audio.shape()[1]).collect()
}

/// Refuses a length of sequences for a class that has none.
pub(crate) fn no_tokens(tokens: Option<usize>) -> Result<()> {
    match tokens {
        Some(_) => Err(Error::input("input_ids", "this class reads no text, so it has no sequence length")),
        None => Ok(()),
    }
}

/// The length of a twin's sequences: what is asked for, if the model has so many positions, else its usual one.
pub(crate) fn twin_tokens(tokens: Option<usize>, usual: usize, positions: usize) -> Result<usize> {
    let tokens = tokens.unwrap_or(usual.min(positions));
    if tokens == 0 {
        return Err(Error::input("input_ids", "is empty"));
    }
    fits("input_ids", tokens, positions).map(|()| tokens)
}

/// Refuses a sequence longer than the model has positions.
pub(crate) fn fits(name: &str, tokens: usize, positions: usize) -> Result<()> {
    if tokens <= positions {
        Ok(())
    } else {
        Err(Error::input(name, format!("{tokens} tokens exceed {positions} positions")))
    }
}
