//! Packed weights in WebNN's terms: rows are repacked into integers that it reads.
//!
//! WebNN shifts no bits, so words cannot be read as they are. Codes of up to four bits become `int4`, wider ones `int8`,
//! less the code in their middle; a minimum becomes an offset that is added. Codes are made floats by one step for all, and
//! multiplied by their groups' scales by another: `dequantizeLinear` by blocks does both, but on CPUs (LiteRT) it is one
//! of the few ops without a kernel of vectors, and takes 5 times as long for int4, 15 times for int8.

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

/// A matrix's codes, and what turns them into weights: constants of one shape, or rows of them that were gathered.
struct Parts<O> {
    /// Of `group` columns for each group.
    codes: O,
    /// Of one column for each group.
    scales: O,
    /// Likewise, where there are minimums.
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
        let (rows, groups, group) = (words.shape()[0], packing.groups(), packing.group());
        let element = element(packing, false);
        let Parts { codes, scales, offsets } =
            self.parts(packing, &words, &scales, element, rows * groups)?;
        let codes = if element == ElementType::Int4 {
            // The one op that reads int4.
            let one = self.builder.packed(ElementType::Float32, &[1, 1], bytemuck::bytes_of(&1.0_f32))?;
            let zero = self.builder.packed(element, &[1, 1], &[0])?;
            self.call("dequantizeLinear", &[codes, one, zero].map(Operand), &[])?
        } else {
            self.call("cast", &[Operand(codes), Text(ElementType::Float32.as_str())], &[])?
        };
        let floats = self.scaled(Parts { codes, scales, offsets })?;
        let by_row = [Operand(floats), Numbers(vec![rows, groups * group])];
        let floats = self.call("reshape", &by_row, &[])?;
        self.cut(floats, rows, groups * group, packing.columns)
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
            let (groups, group) = (packing.groups(), packing.group());
            let parts = self.parts(packing, &words, &scales, element(packing, true), words.shape()[0])?;
            let by_group = |lowering: &mut Self, picked: B::Operand, columns: usize| {
                lowering.call("reshape", &[Operand(picked), Numbers(vec![picks * groups, columns])], &[])
            };
            let codes = pick(self, parts.codes)?;
            let codes = self.call("cast", &[Operand(codes), float], &[])?;
            let codes = by_group(self, codes, group)?;
            let mut numbers = |table: B::Operand| {
                let picked = pick(self, table)?;
                by_group(self, picked, 1)
            };
            let scales = numbers(parts.scales)?;
            let offsets = parts.offsets.map(numbers).transpose()?;
            let floats = self.scaled(Parts { codes, scales, offsets })?;
            let by_row = [Operand(floats), Numbers(vec![picks, groups * group])];
            let floats = self.call("reshape", &by_row, &[])?;
            self.cut(floats, picks, groups * group, packing.columns)?
        };
        self.call("reshape", &[Operand(rows), Numbers(shape)], &[])
    }

    /// Codes that are floats already, times their scales, with their offsets added where there are any.
    fn scaled(&mut self, parts: Parts<B::Operand>) -> Result<B::Operand> {
        let floats = self.call("mul", &[Operand(parts.codes), Operand(parts.scales)], &[])?;
        match parts.offsets {
            Some(offsets) => self.call("add", &[Operand(floats), Operand(offsets)], &[]),
            None => Ok(floats),
        }
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

    /// As constants of `count` rows, of which each holds whole groups.
    fn parts(
        &mut self,
        packing: Packing,
        words: &Tensor,
        scales: &Tensor,
        element: ElementType,
        count: usize,
    ) -> Result<Parts<B::Operand>> {
        let Scheme::Grouped { bits, asymmetric, .. } = packing.scheme else { unreachable!("grouped") };
        let of_row = words.shape()[0] * packing.groups() / count.max(1);
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
        let codes = self.builder.packed(element, &[count, of_row * packing.group()], &codes)?;
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
            self.builder.packed(ElementType::Float32, &[count, of_row], bytemuck::cast_slice(&numbers))
        };
        Ok(Parts {
            codes,
            scales: floats(scales)?,
            offsets: asymmetric.then(|| floats(offsets)).transpose()?,
        })
    }
}
