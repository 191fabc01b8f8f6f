//! Cases of `attention` over packed keys and values: every width that caches have.

use super::{Cases, floats};
use crate::ops::{Attention, Op, PackedPair, Part, Quantize};
use crate::quant::Scheme;
use crate::tensor::Tensor;

/// How caches are kept, by `kv-fp16` to `kv-int2`.
const SCHEMES: [&str; 5] = ["fp16", "int8-g32", "int4-g32", "int3-g32-asym", "int2-g32-asym"];

/// The same attention over the same keys and values, packed by the oracle. `inputs` are `q k v` and what comes behind.
pub fn packed(op: Attention, scheme: Scheme, inputs: &[Tensor]) -> (Op, Vec<Tensor>) {
    let pair = PackedPair { scheme, columns: [1, 2].map(|at| inputs[at].shape()[2]) };
    let of = |part: Part| {
        let quantize = Op::Quantize(Quantize { scheme, part });
        [1, 2].map(|at| quantize.eval(&[&inputs[at]])).to_vec()
    };
    let scales = if pair.has_scales() { of(Part::Scales) } else { Vec::new() };
    let operands = [&inputs[..1], &of(Part::Words), &scales, &inputs[3..]].concat();
    (Op::Attention(Attention { packed: Some(pair), ..op }), operands)
}

pub(super) fn add(cases: &mut Cases) {
    let position = |at: i32| vec![Tensor::i32([1], vec![at])];
    // `e` is the width of a value head: rows end in the middle of a group, heads begin in the middle of one.
    let qkv = |tokens: usize, keys: usize, kv: usize, d: usize, e: usize| {
        vec![
            floats("q", &[2, tokens, 4 * d]),
            floats("k", &[2, keys, kv * d]),
            floats("v", &[2, keys, kv * e]),
        ]
    };
    let causal = |kv: usize, d: usize| Attention { causal: true, ..Attention::new(4, kv, d) };
    let ring =
        |window: usize, ring: usize| Attention { window: Some(window), ring: Some(ring), ..causal(2, 16) };
    let window = Attention { window: Some(40), ..causal(2, 16) };
    let masked = Attention { masked: true, ..Attention::new(4, 4, 9) };
    let biased = Attention { biased: true, ..causal(4, 16) };
    let mask = |keys: usize| Tensor::i32([2, keys], (0..2 * keys).map(|i| i32::from(i % 5 != 1)).collect());
    let bias = |tokens: usize, keys: usize| floats("bias", &[1, 4, tokens, keys]);
    for scheme in SCHEMES {
        let known: Scheme = scheme.parse().expect("a scheme");
        let mut add = |what: &str, op: Attention, inputs: Vec<Tensor>| {
            let (op, operands) = packed(op, known, &inputs);
            cases.add(&format!("{scheme} {what}"), op, operands);
        };
        add("decode", causal(2, 16), [qkv(1, 70, 2, 16, 16), position(66)].concat());
        add("few, heads of 9 and 23", Attention::new(4, 1, 9), qkv(3, 41, 1, 9, 23));
        add("decode, odd heads", causal(4, 19), [qkv(2, 90, 4, 19, 11), position(40)].concat());
        add("prefill", causal(4, 20), [qkv(11, 50, 4, 20, 20), position(3)].concat());
        add("prefill, heads of 7 and 70", causal(1, 7), [qkv(9, 13, 1, 7, 70), position(0)].concat());
        add("decode, masked", masked, [qkv(1, 37, 4, 9, 9), vec![mask(37)]].concat());
        add("prefill, masked", masked, [qkv(6, 37, 4, 9, 9), vec![mask(37)]].concat());
        add("decode, biased", biased, [qkv(1, 9, 4, 16, 16), vec![bias(1, 9)], position(5)].concat());
        add("prefill, biased", biased, [qkv(5, 9, 4, 16, 16), vec![bias(5, 9)], position(2)].concat());
        add("decode by parts", causal(2, 16), [qkv(1, 1100, 2, 16, 16), position(1030)].concat());
        add("window", window, [qkv(2, 90, 2, 16, 16), position(77)].concat());
        add("ring, one at 23", ring(5, 5), [qkv(1, 5, 2, 16, 16), position(23)].concat());
        add("ring, nine at 40", ring(5, 13), [qkv(9, 13, 2, 16, 16), position(40)].concat());
        add("ring, two behind it", ring(70, 70), [qkv(2, 72, 2, 16, 16), position(200)].concat());
        add("ring by parts", ring(1100, 1100), [qkv(1, 1100, 2, 16, 16), position(2500)].concat());
    }
}
