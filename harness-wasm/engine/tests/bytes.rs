//! Products of bytes lose nothing that float32 had.
#![cfg(feature = "native-gpu")]

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::webgpu::{NativeDevice, Tuning, WebGpu};
use webmatrix_engine::ir::GraphBuilder;
use webmatrix_engine::ops::{Op, Qgemm};
use webmatrix_engine::quant::{Fit, Matrix, Scheme};
use webmatrix_engine::weights::Weights;
use webmatrix_engine::{DType, NamedTensors, Tensor};

fn products(w: &Matrix, x: &Tensor) -> Vec<f32> {
    let tuning = Tuning::named(&["dp4a".to_owned()]);
    let mut backend = WebGpu::new(pollster::block_on(NativeDevice::with(tuning)).unwrap());
    let weights = Weights::Twin { seed: 0 };
    let mut b = GraphBuilder::new(&weights);
    let id = b.input("x", DType::F32, x.shape());
    let packed = [w.words(), w.scales()].map(|part| b.constant(part.clone()));
    let op = Op::Qgemm(Qgemm { packing: w.packing(), activation: None });
    let y = b.op(op, &[id, packed[0], packed[1]]).unwrap();
    b.output("y", y);
    let inputs = NamedTensors::from([("x".to_owned(), x.clone())]);
    let outputs = pollster::block_on(async {
        let program = backend.compile(&b.finish(), &weights).await.unwrap();
        backend.run(program, &inputs).await.unwrap()
    });
    let ran: Vec<&String> = backend.kernels().keys().collect();
    let variant = if x.shape()[0] > 4 { "qgemm+dp4a" } else { "qgemv+dp4a" };
    assert_eq!(ran, ["integers", variant]);
    outputs["y"].as_f32().to_vec()
}

/// Activations of very unlike sizes in one block: a unit of the lower numbers is 1000 / 32639 / 65278.
#[test]
fn small_activations_count_beside_large_ones() {
    let k = 96;
    for scheme in Scheme::all().into_iter().filter(|scheme| *scheme != Scheme::Half) {
        // The large activation meets a weight that is stored as no more than nearly 0.
        let weights: Vec<f32> =
            (0..k).map(|i| if i == 3 { 0.0 } else { (i as f32 * 0.7).sin() * 0.5 }).collect();
        let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
        let row = |at: usize| -> Vec<f32> {
            (0..k).map(|i| if i == 3 { 1000.0 } else { 0.01 * ((i + at) as f32).sin() }).collect()
        };
        for m in [1, 6] {
            let x = Tensor::f32([m, k], (0..m).flat_map(row).collect());
            let got = products(&w, &x);
            for (at, y) in got.iter().enumerate() {
                let terms = row(at).into_iter().zip(w.dequantised());
                let terms: Vec<f64> = terms.map(|(x, w)| f64::from(x) * f64::from(w)).collect();
                let (want, size): (f64, f64) =
                    (terms.iter().sum(), terms.iter().map(|term| term.abs()).sum());
                // A minimum makes a term of its own of the large activation, which float32 rounds.
                let asymmetric = matches!(scheme, Scheme::Grouped { asymmetric: true, .. });
                let rounding = if asymmetric { 1000.0 * 1.2e-7 } else { 96.0 * 5e-7 };
                let bound = 2e-6 * size + rounding;
                assert!((f64::from(*y) - want).abs() < bound, "{scheme} {m} [{at}]: {y} {want} {bound:.1e}");
            }
        }
    }
}

/// The widest numbers and codes that there are, in groups of the widest.
#[test]
fn the_largest_sums_do_not_overflow() {
    for scheme in ["int8-g128", "int8-g128-asym"] {
        let scheme: Scheme = scheme.parse().unwrap();
        for sign in [1.0, -1.0] {
            let weights: Vec<f32> = (0..256).map(|i| if i % 128 == 0 { 1.0 } else { -128.0 }).collect();
            let w = Matrix::quantise("w", &weights, &[1, 256], scheme, Fit::Nearest).unwrap();
            for m in [1, 5] {
                let x = Tensor::f32([m, 256], vec![sign * 3.0; m * 256]);
                let coded: f64 = w.dequantised().iter().map(|w| f64::from(*w)).sum();
                let want = f64::from(sign) * 3.0 * coded;
                for y in products(&w, &x) {
                    assert!((f64::from(y) - want).abs() < 1e-6 * want.abs(), "{scheme} {m}: {y} {want}");
                }
            }
        }
    }
}

/// More blocks than a workgroup has lanes, several times over.
#[test]
fn long_rows_count_each_block_once() {
    for (scheme, k) in [("int4-g32", 4196), ("int8-g128", 2080)] {
        let weights: Vec<f32> = (0..3 * k).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 506.0).collect();
        let w = Matrix::quantise("w", &weights, &[3, k], scheme.parse().unwrap(), Fit::Nearest).unwrap();
        let coded = w.dequantised();
        for m in [2, 7] {
            let x: Vec<f32> = (0..m * k).map(|i| ((i * 104_729 % 2003) as f32 - 1001.0) / 1001.0).collect();
            let got = products(&w, &Tensor::f32([m, k], x.clone()));
            for (at, y) in got.iter().enumerate() {
                let (x, w) = (&x[at / 3 * k..][..k], &coded[at % 3 * k..][..k]);
                let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let (want, size) =
                    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                assert!((f64::from(*y) - want).abs() < 1e-6 * size, "{scheme} {m} [{at}]: {y} {want}");
            }
        }
    }
}
