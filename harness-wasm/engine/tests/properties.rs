//! Shapes and strides at random: what holds for every shape, not only for those of the cases.

use proptest::prelude::*;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::ops::cases::Case;
use webmatrix_engine::ops::{Attention, Binary, Conv2d, Gemm, Op, broadcast_shape};
use webmatrix_engine::tensor::Tensor;
use webmatrix_engine::weights::{Weights, twin::Draw};

fn floats(seed: u64, shape: &[usize]) -> Tensor {
    let mut draw = Draw::new(seed, "property");
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| draw.normal()).collect())
}

/// Runs the op by SIMD kernels and holds the result against the oracle.
fn agrees(op: Op, inputs: Vec<Tensor>) {
    let case = Case { name: "property".into(), op, inputs };
    let graph = case.graph().unwrap();
    let got = pollster::block_on(async {
        let mut backend = Cpu::new(Kernels::Simd);
        let program = backend.compile(&graph, &Weights::Twin { seed: 0 }).await.unwrap();
        backend.run(program, &case.named_inputs()).await.unwrap()
    });
    case.check(&got["y"]).unwrap_or_else(|fault| panic!("{:?}: {fault}", case.op));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn gemm_of_any_shape(m in 1_usize..12, k in 1_usize..40, n in 1_usize..20, seed: u64) {
        agrees(Op::Gemm(Gemm::default()), vec![floats(seed, &[m, k]), floats(!seed, &[n, k])]);
    }

    #[test]
    fn attention_of_any_shape(
        batch in 1_usize..3, tokens in 1_usize..5, keys in 1_usize..9, kv in 1_usize..3, group in 1_usize..3,
        d in 1_usize..9, e in 1_usize..9, seed: u64,
    ) {
        let op = Attention { scale: 0.5, ..Attention::new(kv * group, kv, 1) };
        agrees(Op::Attention(op), vec![
            floats(seed, &[batch, tokens, kv * group * d]),
            floats(seed ^ 1, &[batch, keys, kv * d]),
            floats(seed ^ 2, &[batch, keys, kv * e]),
        ]);
    }

    #[test]
    fn conv2d_of_any_shape(
        batch in 1_usize..3, groups in 1_usize..4, from in 1_usize..4, to in 1_usize..6,
        kernel in [1_usize..4, 1_usize..4], strides in [1_usize..4, 1_usize..4],
        dilations in [1_usize..3, 1_usize..3], padding in [0_usize..4, 0_usize..4, 0_usize..4, 0_usize..4],
        room in [0_usize..7, 0_usize..20], seed: u64,
    ) {
        let op = Conv2d { strides, padding, dilations, groups };
        // Large enough for one filter at least.
        let size = |axis: usize| (kernel[axis] - 1) * dilations[axis] + 1 + room[axis];
        agrees(Op::Conv2d(op), vec![
            floats(seed, &[batch, groups * from, size(0), size(1)]),
            floats(seed ^ 1, &[groups * to, from, kernel[0], kernel[1]]),
            floats(seed ^ 2, &[groups * to]),
        ]);
    }

    #[test]
    fn broadcasting_is_symmetric(shape in prop::collection::vec(1_usize..4, 1..4), ones: u8, seed: u64) {
        let thin: Vec<usize> =
            shape.iter().enumerate().map(|(i, &n)| if ones >> i & 1 == 1 { 1 } else { n }).collect();
        prop_assert_eq!(broadcast_shape("add", &thin, &shape).unwrap(), broadcast_shape("add", &shape, &thin).unwrap());
        agrees(Op::Binary(Binary::Add), vec![floats(seed, &shape), floats(!seed, &thin)]);
    }

    #[test]
    fn transposing_there_and_back_changes_nothing(
        (shape, permutation) in prop::collection::vec(1_usize..5, 1..5)
            .prop_flat_map(|shape| {
                let axes: Vec<usize> = (0..shape.len()).collect();
                (Just(shape), Just(axes).prop_shuffle())
            }),
        seed: u64,
    ) {
        let x = floats(seed, &shape);
        let mut back = vec![0; permutation.len()];
        for (to, &from) in permutation.iter().enumerate() {
            back[from] = to;
        }
        let there = Op::Transpose { permutation }.eval(&[&x]);
        prop_assert_eq!(Op::Transpose { permutation: back }.eval(&[&there]), x);
    }

    #[test]
    fn slices_concatenate_to_the_whole(rows in 2_usize..9, cut in 1_usize..8, width in 1_usize..5, seed: u64) {
        let cut = cut.min(rows - 1);
        let x = floats(seed, &[rows, width]);
        let part = |start: usize, size: usize| {
            Op::Slice { starts: vec![start, 0], sizes: vec![size, width] }.eval(&[&x])
        };
        let (head, tail) = (part(0, cut), part(cut, rows - cut));
        prop_assert_eq!(Op::Concat { axis: 0 }.eval(&[&head, &tail]), x);
    }
}
