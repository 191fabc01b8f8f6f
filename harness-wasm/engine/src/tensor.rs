//! Dense row-major tensors on the host, and their safetensors form.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::{Error, Result};

/// Tensors by name, in a stable order.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// Element types that kernels compute with. Wider and narrower types exist in files only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// 32-bit signed integers: ids, masks, positions.
    I32,
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// See [`DType::F32`].
    F32(Vec<f32>),
    /// See [`DType::I32`].
    I32(Vec<i32>),
}

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A float tensor.
    ///
    /// # Panics
    /// If `data` does not fill `shape`: callers compute both.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(elements(&shape), data.len(), "{shape:?} holds another number of elements");
        Self { shape, data: Data::F32(data) }
    }

    /// An integer tensor.
    ///
    /// # Panics
    /// If `data` does not fill `shape`: callers compute both.
    pub fn i32(shape: impl Into<Vec<usize>>, data: Vec<i32>) -> Self {
        let shape = shape.into();
        assert_eq!(elements(&shape), data.len(), "{shape:?} holds another number of elements");
        Self { shape, data: Data::I32(data) }
    }

    /// Zeros.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let n = elements(&shape);
        let data = match dtype {
            DType::F32 => Data::F32(vec![0.0; n]),
            DType::I32 => Data::I32(vec![0; n]),
        };
        Self { shape, data }
    }

    /// Elements by axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::I32(_) => DType::I32,
        }
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Gives up the shape and keeps the elements.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        elements(&self.shape)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of a float tensor.
    ///
    /// # Panics
    /// On another type: graphs are type-checked before they run.
    #[track_caller]
    pub fn as_f32(&self) -> &[f32] {
        match &self.data {
            Data::F32(data) => data,
            Data::I32(_) => panic!("a float tensor was promised by shape inference"),
        }
    }

    /// The elements of a float tensor, to write.
    ///
    /// # Panics
    /// On another type: graphs are type-checked before they run.
    #[track_caller]
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        match &mut self.data {
            Data::F32(data) => data,
            Data::I32(_) => panic!("a float tensor was promised by shape inference"),
        }
    }

    /// The elements of an integer tensor.
    ///
    /// # Panics
    /// On another type: graphs are type-checked before they run.
    #[track_caller]
    pub fn as_i32(&self) -> &[i32] {
        match &self.data {
            Data::I32(data) => data,
            Data::F32(_) => panic!("an integer tensor was promised by shape inference"),
        }
    }

    /// The elements as bytes in the machine's order.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::F32(data) => bytemuck::cast_slice(data),
            Data::I32(data) => bytemuck::cast_slice(data),
        }
    }

    /// The elements' bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.data {
            Data::F32(data) => bytemuck::cast_slice_mut(data),
            Data::I32(data) => bytemuck::cast_slice_mut(data),
        }
    }

    /// The tensor that `bytes` hold.
    ///
    /// # Panics
    /// If the length is not that of `shape`.
    pub fn from_bytes(dtype: DType, shape: impl Into<Vec<usize>>, bytes: &[u8]) -> Self {
        match dtype {
            DType::F32 => Self::f32(shape, bytemuck::pod_collect_to_vec(bytes)),
            DType::I32 => Self::i32(shape, bytemuck::pod_collect_to_vec(bytes)),
        }
    }

    /// The same elements in another shape.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    #[must_use]
    pub fn reshaped(mut self, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert_eq!(elements(&shape), self.len(), "{:?} does not reshape to {shape:?}", self.shape);
        self.shape = shape;
        self
    }
}

/// The number of elements of a shape.
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Row-major strides of a shape, in elements.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Parses a safetensors file; `file` names it in errors.
///
/// # Errors
/// On a hostile or truncated header, overlapping or missing bytes.
pub fn parse_safetensors<'a>(file: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| Error::Data {
        file: file.to_owned(),
        reason: format!("not a valid safetensors file: {error}"),
    })
}

/// Reads every tensor of a safetensors file; `file` names it in errors.
///
/// # Errors
/// As [`parse_safetensors`], and on types or integers that no kernel takes.
pub fn read_safetensors(file: &str, bytes: &[u8]) -> Result<NamedTensors> {
    let parsed = parse_safetensors(file, bytes)?;
    parsed
        .iter()
        .map(|(name, view)| {
            Ok((name.to_owned(), convert(file, name, view.dtype(), view.shape(), view.data())?))
        })
        .collect()
}

/// Converts one tensor of a file to a type that kernels compute with.
pub(crate) fn convert(file: &str, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    let fault =
        |reason: String| Error::Data { file: file.to_owned(), reason: format!("tensor {name}: {reason}") };
    let floats = |data: Vec<f32>| Ok(Tensor::f32(shape, data));
    match dtype {
        Dtype::F32 => floats(bytemuck::pod_collect_to_vec(bytes)),
        Dtype::F16 => floats(chunks(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => floats(chunks(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F64 => floats(chunks(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::I32 => Ok(Tensor::i32(shape, chunks(bytes, i32::from_le_bytes))),
        Dtype::I64 => {
            let wide: Vec<i64> = chunks(bytes, i64::from_le_bytes);
            let narrow = wide
                .iter()
                .map(|&v| i32::try_from(v).map_err(|_| fault(format!("{v} does not fit 32 bits"))))
                .collect::<Result<_>>()?;
            Ok(Tensor::i32(shape, narrow))
        }
        Dtype::BOOL | Dtype::U8 => Ok(Tensor::i32(shape, bytes.iter().map(|&b| i32::from(b)).collect())),
        other => {
            Err(fault(format!("type {other:?} is not supported: store it as F32, F16, BF16, I32 or I64")))
        }
    }
}

fn chunks<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
}

/// Writes tensors as a safetensors file.
///
/// # Errors
/// If the format cannot hold them.
pub fn write_safetensors(tensors: &NamedTensors) -> Result<Vec<u8>> {
    let fault = |error: safetensors::SafeTensorError| Error::Data {
        file: "outputs".into(),
        reason: error.to_string(),
    };
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = match tensor.dtype() {
                DType::F32 => Dtype::F32,
                DType::I32 => Dtype::I32,
            };
            Ok((
                name.as_str(),
                TensorView::new(dtype, tensor.shape().to_vec(), tensor.bytes()).map_err(fault)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let mut tensors = NamedTensors::new();
        tensors.insert("x".into(), Tensor::f32([2, 1], vec![1.5, -0.0]));
        tensors.insert("ids".into(), Tensor::i32([3], vec![1, -2, 3]));
        let bytes = write_safetensors(&tensors).unwrap();
        assert_eq!(read_safetensors("f", &bytes).unwrap(), tensors);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let tensors = NamedTensors::from([("x".to_owned(), Tensor::f32([4], vec![1.0; 4]))]);
        let bytes = write_safetensors(&tensors).unwrap();
        for n in 0..bytes.len() {
            assert!(read_safetensors("f", &bytes[..n]).is_err(), "{n} bytes");
        }
    }

    #[test]
    fn hostile_header_length_is_an_error() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        assert!(read_safetensors("f", &bytes).is_err());
    }
}
