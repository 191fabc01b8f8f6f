//! What WGSL kernels do at the edges of what they are given: more workgroups than one dimension has, and neighbours that must not
//! be read even where a zero would hide them.
#![cfg(feature = "native-gpu")]

use webmatrix_engine::Tensor;
use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::webgpu::{NativeDevice, Tuning, WebGpu};
use webmatrix_engine::ops::cases::Case;
use webmatrix_engine::ops::{Gemm, Op, Reduce, Unary};
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
