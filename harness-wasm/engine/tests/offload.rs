//! Weights that are uploaded again where they are read: the same bits, within a limit.
#![cfg(feature = "native-gpu")]

use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
use webmatrix_engine::backend::{Backend, Held, Moved};
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::{Error, NamedTensors, Result};

struct Ran {
    outputs: NamedTensors,
    held: Held,
    moved: Option<Moved>,
    offloaded: Option<u64>,
}

/// Two inferences within so many bytes; without a limit, everything stays.
fn run(loaded: &Loaded, limit: Option<u64>) -> Result<Ran> {
    let gpu = WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap());
    let gpu = limit.into_iter().fold(gpu, WebGpu::offloading);
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, gpu, Options::greedy(4));
    pollster::block_on(async {
        runner.compile(&loaded.inputs).await?;
        let compiled = runner.backend().held().total();
        assert!(limit.is_none_or(|limit| compiled <= limit), "compiled: {compiled} {limit:?}");
        let first = runner.infer(&loaded.inputs).await?;
        let outputs = runner.infer(&loaded.inputs).await?;
        assert_eq!(first, outputs);
        let backend = runner.backend();
        let offloaded = backend.kernels().get("upload+offload").copied();
        Ok(Ran { outputs, held: backend.held(), moved: backend.moved(), offloaded })
    })
}

#[test]
fn what_is_offloaded_changes_no_bit() {
    for class in ["llama", "t5", "vit"] {
        let loaded = Loaded::twin(class, "tiny", 3).unwrap();
        let whole = run(&loaded, None).unwrap();
        assert_eq!((whole.moved, whole.offloaded), (None, None));
        let total = whole.held.total();

        // Where all fits, nothing moves: the feature was asked for and not used.
        let roomy = run(&loaded, Some(total)).unwrap();
        assert_eq!(roomy.outputs, whole.outputs, "{class}");
        assert_eq!((roomy.held, roomy.moved, roomy.offloaded), (whole.held, Some(Moved::default()), None));

        // The smallest limit that works, to the byte.
        let (mut below, mut least) = (0, total);
        while least - below > 1 {
            let middle = below.midpoint(least);
            match run(&loaded, Some(middle)) {
                Ok(_) => least = middle,
                Err(_) => below = middle,
            }
        }
        assert!(least < total, "{class}");
        for limit in [least, least.midpoint(total), total - 4] {
            let ran = run(&loaded, Some(limit)).unwrap();
            assert_eq!(ran.outputs, whole.outputs, "{class} {limit}");
            assert!(ran.held.total() <= limit && ran.held.weights < whole.held.weights, "{class} {limit}");
            let moved = ran.moved.unwrap();
            assert!(moved.uploads > 0 && moved.bytes >= 4 * moved.uploads, "{class} {limit}: {moved:?}");
            assert_eq!(ran.offloaded, Some(moved.uploads));
        }
        match run(&loaded, Some(least - 1)) {
            Err(Error::OutOfMemory(told)) => {
                assert!(told.contains(&format!("{least} bytes are needed at once")), "{class}: {told}");
                assert!(told.contains(&format!("the limit is {}", least - 1)), "{class}: {told}");
            }
            Err(other) => panic!("{class}: {other}"),
            Ok(_) => panic!("{class}: {least} is not the least"),
        }
    }
}

/// A tighter limit moves more, and what was used last is what stays.
#[test]
fn less_room_moves_more() {
    let loaded = Loaded::twin("llama", "tiny", 3).unwrap();
    let total = run(&loaded, None).unwrap().held.total();
    let uploads = |part: u64| run(&loaded, Some(total * part / 10)).map(|ran| ran.moved.unwrap().uploads);
    let counts: Vec<u64> = (1..=10).filter_map(|part| uploads(part).ok()).collect();
    assert!(
        counts.len() > 2 && counts.is_sorted_by(|a, b| a >= b) && counts.last() == Some(&0),
        "{counts:?}"
    );
}
