//! What WGSL kernels do at the edges of what they are given: more workgroups than one dimension has, and neighbours that must not
//! be read even where a zero would hide them.
#![cfg(feature = "native-gpu")]

use webmatrix_engine::Tensor;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::webgpu::{NativeDevice, Tuning, WebGpu};
use webmatrix_engine::ops::cases::Case;
use webmatrix_engine::ops::{Gemm, Op, Part, Quantize, Reduce, Unary};
use webmatrix_engine::quant::Scheme;
use webmatrix_engine::weights::{Weights, twin::Draw};

fn agrees(op: Op, inputs: Vec<Tensor>, tuning: Tuning) {
    let case = Case { name: "edge".into(), op, inputs };
    let graph = case.graph().unwrap();
    let mut backend = WebGpu::new(pollster::block_on(NativeDevice::with(tuning)).unwrap());
    let got = pollster::block_on(async {
        let program = backend.compile(&graph, &Weights::Twin { seed: 0 }).await.unwrap();
        backend.run(program, &case.named_inputs()).await.unwrap()
    });
    case.check(&got["y"]).unwrap_or_else(|fault| panic!("{:?}: {fault}", case.op));
}

fn floats(seed: &str, shape: &[usize]) -> Tensor {
    let mut draw = Draw::new(1, seed);
    Tensor::f32(shape, (0..shape.iter().product()).map(|_| draw.normal()).collect())
}

/// 65535 is the most of a dimension that core WebGPU promises.
#[test]
fn workgroups_go_on_in_a_second_dimension() {
    agrees(Op::Reduce(Reduce::Mean), vec![floats("rows", &[150_000, 3])], Tuning::default());
    let lanes = Tuning { lanes: Some(32), ..Tuning::default() };
    agrees(Op::Unary(Unary::Abs), vec![floats("elements", &[5_000_000])], lanes);
}

/// An infinity in a row or column of its own makes no other one infinite, nor no number.
#[test]
fn products_read_no_neighbour() {
    for k in [19, 17, 34] {
        for [m, n] in [[6, 5], [2, 5], [37, 35]] {
            let (mut a, mut w) = (floats("a", &[m, k]), floats("w", &[n, k]));
            let op = || Op::Gemm(Gemm::default());
            agrees(op(), vec![a.clone(), w.clone()], Tuning::default());
            a.as_f32_mut()[(m - 1) * k] = f32::INFINITY;
            agrees(op(), vec![a, w.clone()], Tuning::default());
            w.as_f32_mut()[(n - 1) * k] = f32::INFINITY;
            agrees(op(), vec![floats("a", &[m, k]), w], Tuning::default());
        }
    }
}

/// What lies outside of a table is its first or last row.
#[test]
fn tables_end() {
    let picks = Tensor::i32([4], vec![-3, 10, 11, 1 << 20]);
    agrees(Op::Gather { axis: 0 }, vec![floats("table", &[11, 6]), picks], Tuning::default());
    let table = |seed: &str| floats(seed, &[12, 4]);
    let rope = vec![floats("x", &[1, 5, 24]), table("cos"), table("sin"), Tensor::i32([1], vec![10])];
    agrees(Op::Rope { heads: 3 }, rope, Tuning::default());
}

/// Of two that are as wide, the first is code 0.
#[test]
fn the_first_of_the_widest_counts() {
    for scheme in ["int8-g32", "int4-g32"] {
        let scheme: Scheme = scheme.parse().unwrap();
        for (first, sign) in [(3, 1.0), (17, -1.0)] {
            let mut x = floats("x", &[2, 64]);
            x.as_f32_mut()[first] = 7.5 * sign;
            x.as_f32_mut()[first + 11] = -7.5 * sign;
            for part in [Part::Words, Part::Scales] {
                agrees(Op::Quantize(Quantize { scheme, part }), vec![x.clone()], Tuning::default());
            }
        }
    }
}
