//! Shapes and strides at random: what holds for every shape, not only for those of the cases.

use proptest::prelude::*;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::ir::GraphBuilder;
use webmatrix_engine::ops::cases::{Case, packed};
use webmatrix_engine::ops::{Attention, Binary, Conv2d, Gemm, Op, Unary, broadcast_shape};
use webmatrix_engine::tensor::{DType, NamedTensors, Tensor};
use webmatrix_engine::weights::{Weights, twin::Draw};

fn floats(seed: u64, shape: &[usize]) -> Tensor {
    let mut draw = Draw::new(seed, "property");
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| draw.normal()).collect())
}

/// A finite number is not infinity, however wide the tolerance that infinity makes.
#[test]
fn infinities_are_equal_or_are_not() {
    let inputs = vec![Tensor::f32([2], vec![-1.0, 1.0]), Tensor::f32([2], vec![0.0, 0.0])];
    let case = Case { name: "property".into(), op: Op::Binary(Binary::Div), inputs };
    assert_eq!(case.check(&Tensor::f32([2], vec![f32::NEG_INFINITY, f32::INFINITY])), Ok(()));
    for wrong in [f32::INFINITY, 3.0, f32::NAN] {
        assert!(case.check(&Tensor::f32([2], vec![wrong, f32::INFINITY])).is_err(), "{wrong}");
    }
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

    /// Wide enough for every remainder of lanes, and for rows that are far from 0.
    #[test]
    fn rows_of_any_width(rows in 1_usize..5, width in 1_usize..70, far in -300.0_f32..300.0, seed: u64) {
        let x = floats(seed, &[rows, width]);
        let away = Tensor::f32(x.shape(), x.as_f32().iter().map(|x| 9.0 * x + far).collect());
        let (scale, bias) = (floats(seed ^ 1, &[width]), floats(seed ^ 2, &[width]));
        agrees(Op::Softmax { axis: 1 }, vec![away]);
        agrees(Op::LayerNormalization { epsilon: 1e-5 }, vec![x.clone(), scale.clone(), bias]);
        agrees(Op::RmsNormalization { epsilon: 1e-5 }, vec![x, scale]);
    }

    #[test]
    fn elements_of_any_number(n in 1_usize..40, size in 0.01_f32..30.0, seed: u64) {
        let (x, y) = (floats(seed, &[3, n]), floats(!seed, &[n]));
        let x = Tensor::f32(x.shape(), x.as_f32().iter().map(|x| size * x).collect());
        for op in [
            Unary::Exp, Unary::Gelu, Unary::GeluTanh, Unary::QuickGelu, Unary::Relu, Unary::Sigmoid, Unary::Silu,
            Unary::Abs, Unary::Neg,
        ] {
            agrees(Op::Unary(op), vec![x.clone()]);
        }
        for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::SwiGlu] {
            agrees(Op::Binary(op), vec![x.clone(), y.clone()]);
        }
    }

    /// An op may write over what nothing else reads, and over nothing else.
    #[test]
    fn what_is_read_again_is_not_written_over(n in 1_usize..9, seed: u64) {
        let weights = Weights::Twin { seed: 0 };
        let mut b = GraphBuilder::new(&weights);
        let x = b.input("x", DType::F32, [2, n]);
        let r = b.unary(Unary::Neg, x).unwrap();
        let twice = b.add(r, r).unwrap();
        let flat = b.reshape(r, [2 * n]).unwrap();
        let soft = b.op(Op::Softmax { axis: 1 }, &[x]).unwrap();
        for (name, id) in [("twice", twice), ("r", r), ("flat", flat), ("again", twice), ("soft", soft)] {
            b.output(name, id);
        }
        let graph = b.finish();
        let inputs = NamedTensors::from([("x".to_owned(), floats(seed, &[2, n]))]);
        let run = |kernels| pollster::block_on(async {
            let mut backend = Cpu::new(kernels);
            let program = backend.compile(&graph, &weights).await.unwrap();
            backend.run(program, &inputs).await.unwrap();
            backend.run(program, &inputs).await.unwrap()
        });
        let taking = pollster::block_on(async {
            let mut backend = Cpu::new(Kernels::Simd);
            let program = backend.compile(&graph, &weights).await.unwrap();
            backend.run_taking(program, inputs.clone()).await.unwrap()
        });
        prop_assert_eq!(&taking, &run(Kernels::Simd));
        let (mut simd, mut oracle) = (run(Kernels::Simd), run(Kernels::Oracle));
        let (soft, want) = (simd.remove("soft").unwrap(), oracle.remove("soft").unwrap());
        prop_assert_eq!(simd, oracle);
        for (a, b) in soft.as_f32().iter().zip(want.as_f32()) {
            prop_assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn attention_of_any_shape(
        batch in 1_usize..3, tokens in 1_usize..11, keys in 1_usize..19, kv in 1_usize..3, group in 1_usize..3,
        d in 1_usize..9, e in 1_usize..11, seed: u64, masked: bool, biased: bool,
        position in prop::option::of(0_usize..12), window in prop::option::of(1_usize..5),
        scheme in prop::sample::select(vec!["fp16", "int8-g32", "int4-g32", "int3-g32-asym", "int2-g32-asym"]),
    ) {
        let (heads, causal) = (kv * group, position.is_some());
        let window = window.filter(|_| causal);
        let op = Attention { scale: 0.5, masked, biased, causal, window, ..Attention::new(heads, kv, 1) };
        let mut inputs = vec![
            floats(seed, &[batch, tokens, kv * group * d]),
            floats(seed ^ 1, &[batch, keys, kv * d]),
            floats(seed ^ 2, &[batch, keys, kv * e]),
        ];
        if masked {
            let hidden = (0..batch * keys).map(|i| i32::from(seed >> (i % 64) & 1 == 1)).collect();
            inputs.push(Tensor::i32([batch, keys], hidden));
        }
        if biased {
            inputs.push(floats(seed ^ 3, &[batch, heads, tokens, keys]));
        }
        if let Some(position) = position {
            inputs.push(Tensor::i32([1], vec![position as i32]));
        }
        if !(masked && biased) {
            let (op, inputs) = packed(op, scheme.parse().unwrap(), &inputs);
            agrees(op, inputs);
        }
        agrees(Op::Attention(op), inputs);
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

/// What has no finite result must show, and must not spread to other rows.
#[test]
fn nan_and_infinities_stay_where_they_are() {
    let run = |op: Op, x: Vec<f32>, shape: [usize; 2]| {
        let case = Case { name: "wild".into(), op, inputs: vec![Tensor::f32(shape, x)] };
        let graph = case.graph().unwrap();
        pollster::block_on(async {
            let mut backend = Cpu::new(Kernels::Simd);
            let program = backend.compile(&graph, &Weights::Twin { seed: 0 }).await.unwrap();
            backend.run(program, &case.named_inputs()).await.unwrap().remove("y").unwrap()
        })
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let y = run(Op::Unary(Unary::Exp), vec![nan, inf, -inf, 0.0, 1000.0, -1000.0, 88.0, -103.0], [1, 8]);
    let y = y.as_f32();
    assert!(
        y[0].is_nan() && y[1] == inf && y[2] == 0.0 && y[3] == 1.0 && y[4] == inf && y[5] == 0.0,
        "{y:?}"
    );
    assert!(y[6].is_finite() && y[7] > 0.0, "{y:?}");
    for op in [Unary::Gelu, Unary::Silu, Unary::Sigmoid, Unary::Relu] {
        let y = run(Op::Unary(op), vec![nan, 1.0, 2.0, 3.0, 4.0], [1, 5]);
        assert!(y.as_f32()[0].is_nan() && y.as_f32()[1..].iter().all(|y| y.is_finite()), "{op:?} {y:?}");
    }
    for at in 0..6 {
        let mut x = vec![0.5; 12];
        x[at] = nan;
        let y = run(Op::Softmax { axis: 1 }, x, [2, 6]);
        let (bad, good) = y.as_f32().split_at(6);
        assert!(
            bad.iter().all(|y| y.is_nan()) && good.iter().all(|y| (y - 1.0 / 6.0).abs() < 1e-6),
            "{at} {y:?}"
        );
    }
    let mut x = vec![-inf; 12];
    x[3] = 2.0;
    let y = run(Op::Softmax { axis: 1 }, x, [1, 12]);
    assert!(y.as_f32().iter().enumerate().all(|(i, &y)| y == f32::from(u8::from(i == 3))), "{y:?}");
}
