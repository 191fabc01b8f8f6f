use super::grouped::{Activations, Dots};
use super::*;
use crate::backend::cpu::integer::I32x4;
use crate::quant::{BLOCK, Fit, Group, Matrix};
use crate::weights::twin::Draw;

/// The first result by words, and by bytes where there are dot products of them.
fn multiplied(op: Qgemm, inputs: &[&Tensor]) -> Vec<f32> {
    let ways = [false, true].into_iter().filter(|bytes| !bytes || has_bytes(op, inputs[0]));
    ways.map(|bytes| run(&Crew::alone(), op, inputs, bytes).as_f32()[0]).collect()
}

/// Codes unpacked in vectors, multiplied by integers: the same whole numbers as by the layout's definition.
#[test]
fn whole_number_dots_are_exact() {
    fn check<const BITS: usize, D: Dots<BITS>>(bits: Bits) {
        let mut draw = Draw::new(9, "codes");
        for _ in 0..50 {
            let words: [[u32; BITS]; 2] = from_fn(|_| from_fn(|_| draw.bits() as u32));
            let most = i32::from(D::MOST);
            let x: [[[i16; BLOCK]; 2]; 2] =
                from_fn(|_| from_fn(|_| from_fn(|_| (draw.bits() as i32 % (most + 1)) as i16)));
            let q = words.map(|words| crate::quant::unpack(bits, &words));
            let want: [i64; 2] = from_fn(|part| {
                let products = (0..2).flat_map(|block| x[block][part].iter().zip(&q[block]));
                products.map(|(x, q)| i64::from(*x) * i64::from(*q)).sum::<i64>() - 7
            });
            let starts = [[-7, 0, 0, 0]; 2];
            let sum = |lanes: I32x4| lanes.to_array().iter().map(|&lane| i64::from(lane)).sum::<i64>();
            let blocks = x.map(|parts| parts.map(|integers| D::block(&integers)));
            assert_eq!(D::dots::<2, 2>(&blocks, &starts, &words).map(sum), want, "{bits:?}");
            assert_eq!(D::dots::<2, 1>(&blocks, &starts, &words).map(sum), want[..1], "{bits:?}");
        }
    }
    check::<2, Words>(Bits::Two);
    check::<3, Words>(Bits::Three);
    check::<4, Words>(Bits::Four);
    check::<4, Bytes>(Bits::Four);
    check::<8, Words>(Bits::Eight);
}

#[test]
fn the_largest_sums_do_not_overflow() {
    let k = 256;
    let scheme = Scheme::asymmetric(Bits::Eight, Group::Of128);
    // Codes are all 255 but for one in each group, activations all the largest there are.
    let weights: Vec<f32> = (0..k).map(|i| if i % 128 == 0 { 0.0 } else { 255.0 }).collect();
    let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
    let x = Tensor::f32([1, k], vec![1.0; k]);
    let op = Qgemm { packing: w.packing(), activation: None };
    let [y] = multiplied(op, &[&x, w.words(), w.scales()])[..] else { panic!("of 8 bits there is one way") };
    assert!((y - 254.0 * 255.0).abs() < 0.1, "{y}");
}

/// Activations of very unlike sizes lose nothing that float32 had.
#[test]
fn small_activations_count_beside_large_ones() {
    let k = 64;
    for scheme in Scheme::all() {
        let weights: Vec<f32> = (0..k).map(|i| if i == 3 { 0.0 } else { 0.25 + i as f32 / 256.0 }).collect();
        let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
        let x: Vec<f32> = (0..k).map(|i| if i == 3 { 1000.0 } else { 0.01 * (i as f32).sin() }).collect();
        let op = Qgemm { packing: w.packing(), activation: None };
        let coded = w.dequantised();
        let want: f64 = coded.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        let size: f64 = coded.iter().zip(&x).map(|(w, x)| f64::from((w * x).abs())).sum();
        let ways = multiplied(op, &[&Tensor::f32([1, k], x), w.words(), w.scales()]);
        // A unit of the lower integers is 1000 / 32639 / 65278, at most. A minimum makes a term of its own of the large
        // activation, which float32 rounds.
        let asymmetric = matches!(scheme, Scheme::Grouped { asymmetric: true, .. });
        let rounding = if asymmetric { 1000.0 * 1.2e-7 } else { 64.0 * 5e-7 };
        for y in ways {
            assert!((f64::from(y) - want).abs() < 2e-6 * size + rounding, "{scheme}: {y} {want}");
        }
    }
}

/// Beside float32's own bound, with and without what is below 16 bits; both ways are taken.
#[test]
fn what_is_left_out_is_less_than_float32_may_be_wrong_by() {
    let k = 2048;
    let mut draw = Draw::new(11, "depth");
    let mut normal = |n: usize| -> Vec<f32> {
        (0..n)
            .map(|_| (0..12).map(|_| draw.bits() as u32 as f32 / 4_294_967_296.0).sum::<f32>() - 6.0)
            .collect()
    };
    let weights = normal(k);
    for (peak, fine) in [(1.0, false), (1000.0, true)] {
        let mut x = normal(k);
        (0..k).step_by(32).for_each(|i| x[i] *= peak);
        for scheme in Scheme::all().into_iter().filter(|scheme| matches!(scheme, Scheme::Grouped { .. })) {
            let w = Matrix::quantise("w", &weights, &[1, k], scheme, Fit::Nearest).unwrap();
            let op = Qgemm { packing: w.packing(), activation: None };
            let activations = Activations::<[[i16; 8]; 4]>::new::<4, Words>(w.packing(), &x);
            assert!(
                activations.fine.iter().filter(|&&is| is == fine).count() * 10 > 9 * activations.fine.len()
            );
            let coded = w.dequantised();
            let products = coded.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (want, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            let ways = multiplied(op, &[&Tensor::f32([1, k], x.clone()), w.words(), w.scales()]);
            // A hundredth of the bound: rounding errors are of either sign.
            let bound = size * k as f64 * 2.0_f64.powi(-24) / 100.0;
            assert!((f64::from(ways[0]) - want).abs() < bound, "{scheme}: {} {want} {bound}", ways[0]);
            // By either way within four times what errors of half a unit at most come to together.
            let group = w.packing().group();
            let variance: f64 = (x.chunks(group).zip(coded.chunks(group)))
                .map(|(x, w)| {
                    let widest = x.iter().fold(0.0_f32, |widest, x| widest.max(x.abs()));
                    let unit = f64::from(widest) / f64::from(<Bytes as Dots<4>>::MOST);
                    unit * unit / 12.0 * w.iter().map(|w| f64::from(w * w)).sum::<f64>()
                })
                .sum();
            for y in ways {
                let bound = 4.0 * variance.sqrt();
                assert!((f64::from(y) - want).abs() < bound, "{scheme}: {y} {want} {bound}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for scheme in Scheme::all() {
        let w = Matrix::quantise("w", &[0.5; 96], &[1, 96], scheme, Fit::Nearest).unwrap();
        for poison in [f32::NAN, f32::INFINITY] {
            let mut x = vec![1.0; 96];
            x[40] = poison;
            let op = Qgemm { packing: w.packing(), activation: None };
            let ways = multiplied(op, &[&Tensor::f32([1, 96], x), w.words(), w.scales()]);
            assert!(ways.iter().all(|y| !y.is_finite()), "{scheme} {poison}");
        }
    }
}
