//! Packed weights in WebNN's terms: rows are repacked into the integers that `dequantizeLinear` takes.
//!
//! WebNN shifts no bits, so words cannot be read as they are. Codes of up to four bits become `int4`, wider ones `int8`,
//! less the code in their middle; a minimum becomes an offset that is added.

use crate::backend::webnn::context::{Attribute, ElementType, GraphBuilding};
use crate::backend::webnn::lower::Lowering;
use crate::error::Result;
use crate::ir::Node;
use crate::quant::{self, BLOCK, Bits, Packing, Scheme};
use crate::tensor::Tensor;

use Attribute::{Number, Numbers, Operand, Text};

/// The element type of a packed matrix's constant, as a weight or as a table of rows.
pub fn element(packing: Packing, table: bool) -> ElementType {
    match packing.scheme {
        Scheme::Half => ElementType::Float16,
        // No context is known to gather int4.
        Scheme::Grouped { bits: Bits::Eight, .. } => ElementType::Int8,
        Scheme::Grouped { .. } if table => ElementType::Int8,
        Scheme::Grouped { .. } => ElementType::Int4,
    }
}

/// A matrix's codes, and what turns them into weights.
struct Parts<O> {
    /// `[rows, groups * group]`.
    codes: O,
    /// `[rows, groups]`.
    scales: O,
    /// `[rows, groups]`, where there are minimums.
    offsets: Option<O>,
}

impl<B: GraphBuilding> Lowering<'_, B> {
    /// The whole matrix as float32.
    pub(super) fn dequantize(&mut self, packing: Packing, node: &Node) -> Result<B::Operand> {
        let (words, scales) = (self.tensor(node.inputs[0])?, self.tensor(node.inputs[1])?);
        if packing.scheme == Scheme::Half {
            let rows = words.shape()[0];
            let halves = self.halves(packing, &words)?;
            let floats = self.call("cast", &[Operand(halves), Text(ElementType::Float32.as_str())], &[])?;
            return self.cut(floats, rows, packing.columns.next_multiple_of(2), packing.columns);
        }
        let element = element(packing, false);
        let parts = self.parts(packing, &words, &scales, element)?;
        let (rows, groups) = (words.shape()[0], packing.groups());
        let zeros =
            vec![0; if element == ElementType::Int4 { (rows * groups).div_ceil(2) } else { rows * groups }];
        let zeros = self.builder.packed(element, &[rows, groups], &zeros)?;
        let operands = [parts.codes, parts.scales, zeros].map(Operand);
        let floats = self.call("dequantizeLinear", &operands, &[])?;
        self.shifted(packing, rows, floats, parts.offsets)
    }

    /// Rows picked by index, as float32: the codes are gathered, not the floats.
    pub(super) fn qgather(&mut self, packing: Packing, node: &Node) -> Result<B::Operand> {
        let (words, scales) = (self.tensor(node.inputs[0])?, self.tensor(node.inputs[1])?);
        let indices = self.typed(node.inputs[2])?;
        let shape = self.graph.ty(node.output).shape.clone();
        let picks = self.graph.ty(node.inputs[2]).len();
        let indices = self.call("reshape", &[Operand(indices), Numbers(vec![picks])], &[])?;
        let pick = |lowering: &mut Self, table: B::Operand| {
            lowering.call("gather", &[Operand(table), Operand(indices.clone())], &[("axis", Number(0.0))])
        };
        let float = Text(ElementType::Float32.as_str());
        let rows = if packing.scheme == Scheme::Half {
            let halves = self.halves(packing, &words)?;
            let rows = pick(self, halves)?;
            let floats = self.call("cast", &[Operand(rows), float], &[])?;
            self.cut(floats, picks, packing.columns.next_multiple_of(2), packing.columns)?
        } else {
            let parts = self.parts(packing, &words, &scales, element(packing, true))?;
            let codes = pick(self, parts.codes)?;
            let codes = self.call("cast", &[Operand(codes), float], &[])?;
            let scales = pick(self, parts.scales)?;
            let offsets = parts.offsets.map(|offsets| pick(self, offsets)).transpose()?;
            let (groups, group) = (packing.groups(), packing.group());
            let codes = self.call("reshape", &[Operand(codes), Numbers(vec![picks, groups, group])], &[])?;
            let scales = self.call("reshape", &[Operand(scales), Numbers(vec![picks, groups, 1])], &[])?;
            let floats = self.call("mul", &[Operand(codes), Operand(scales)], &[])?;
            self.shifted(packing, picks, floats, offsets)?
        };
        self.call("reshape", &[Operand(rows), Numbers(shape)], &[])
    }

    /// Offsets added where there are any, and rows without what fills their last group.
    fn shifted(
        &mut self,
        packing: Packing,
        rows: usize,
        mut floats: B::Operand,
        offsets: Option<B::Operand>,
    ) -> Result<B::Operand> {
        let (groups, group) = (packing.groups(), packing.group());
        if let Some(offsets) = offsets {
            let by_group = [Operand(floats), Numbers(vec![rows, groups, group])];
            floats = self.call("reshape", &by_group, &[])?;
            let offsets = self.call("reshape", &[Operand(offsets), Numbers(vec![rows, groups, 1])], &[])?;
            floats = self.call("add", &[Operand(floats), Operand(offsets)], &[])?;
        }
        floats = self.call("reshape", &[Operand(floats), Numbers(vec![rows, groups * group])], &[])?;
        self.cut(floats, rows, groups * group, packing.columns)
    }

    /// The first columns of `[rows, width]`.
    fn cut(&mut self, x: B::Operand, rows: usize, width: usize, columns: usize) -> Result<B::Operand> {
        if width == columns {
            return Ok(x);
        }
        self.call("slice", &[Operand(x), Numbers(vec![0, 0]), Numbers(vec![rows, columns])], &[])
    }

    /// The rows as float16, an even number a row.
    fn halves(&mut self, packing: Packing, words: &Tensor) -> Result<B::Operand> {
        let shape = [words.shape()[0], packing.columns.next_multiple_of(2)];
        self.builder.packed(ElementType::Float16, &shape, words.bytes())
    }

    fn parts(
        &mut self,
        packing: Packing,
        words: &Tensor,
        scales: &Tensor,
        element: ElementType,
    ) -> Result<Parts<B::Operand>> {
        let Scheme::Grouped { bits, asymmetric, .. } = packing.scheme else { unreachable!("grouped") };
        let rows = words.shape()[0];
        let words: &[u32] = bytemuck::cast_slice(words.as_i32());
        let mut codes = Vec::with_capacity(words.len() / packing.block_words() * BLOCK);
        for block in words.chunks_exact(packing.block_words()) {
            codes.extend(quant::unpack(bits, block).map(|q| (i32::from(q) - bits.zero() as i32) as u8));
        }
        if element == ElementType::Int4 {
            // Two a byte, the first in the low half.
            codes = codes.as_chunks::<2>().0.iter().map(|[low, high]| low & 15 | high << 4).collect();
        }
        let groups = packing.groups();
        let codes = self.builder.packed(element, &[rows, groups * packing.group()], &codes)?;
        let scale_words: &[u32] = bytemuck::cast_slice(scales.as_i32());
        let (mut scales, mut offsets) = (Vec::new(), Vec::new());
        for row in scale_words.chunks_exact(packing.scale_words()) {
            for at in 0..groups {
                let group = quant::read(packing, row, at);
                scales.push(group.scale);
                offsets.push(group.min + bits.zero() as f32 * group.scale);
            }
        }
        let floats = |numbers: Vec<f32>| {
            self.builder.packed(ElementType::Float32, &[rows, groups], bytemuck::cast_slice(&numbers))
        };
        Ok(Parts {
            codes,
            scales: floats(scales)?,
            offsets: asymmetric.then(|| floats(offsets)).transpose()?,
        })
    }
}
