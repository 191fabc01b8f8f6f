//! Threads divide the work and change nothing: every op case and every small model gives the same bits on each number
//! of them.

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Crew, Kernels};
use webmatrix_engine::ops::cases::all;
use webmatrix_engine::run::{Loaded, Options, Runner};
use webmatrix_engine::tensor::{Data, NamedTensors};
use webmatrix_engine::weights::Weights;

mod classes;

/// Wakes every thread for the least work, which these cases are.
fn crew(threads: usize) -> Crew {
    Crew::spawned(threads).unwrap().with_grain(1)
}

/// What tensors hold, to the last bit.
fn bits(tensors: &NamedTensors) -> Vec<(&str, Vec<u32>)> {
    let of = |data: &Data| match data {
        Data::F32(data) => data.iter().map(|x| x.to_bits()).collect(),
        Data::I32(data) => data.iter().map(|&x| x as u32).collect(),
    };
    tensors.iter().map(|(name, tensor)| (name.as_str(), of(tensor.data()))).collect()
}

fn cases(crew: Crew) -> (Vec<(String, NamedTensors)>, usize) {
    let mut backend = Cpu::with_crew(Kernels::Simd, crew);
    let results = all().into_iter().map(|case| {
        let graph = case.graph().unwrap();
        let y = pollster::block_on(async {
            let program = backend.compile(&graph, &Weights::Twin { seed: 0 }).await.unwrap();
            backend.run(program, &case.named_inputs()).await.unwrap()
        });
        (case.name, y)
    });
    let results = results.collect();
    (results, backend.threads().unwrap_or(1))
}

#[test]
fn ops_give_the_same_bits_on_any_number_of_threads() {
    let (one, _) = cases(Crew::alone());
    for threads in 1..=4 {
        let (results, worked) = cases(crew(threads));
        assert_eq!(worked, threads, "threads that computed");
        for ((name, y), (_, want)) in results.iter().zip(&one) {
            assert_eq!(bits(y), bits(want), "{name} on {threads} threads");
        }
    }
}

fn model(class: &str, size: &str, crew: Crew) -> (NamedTensors, usize) {
    let loaded = Loaded::twin(class, size, 7).unwrap();
    let options = Options { max_new_tokens: 3, ..Options::default() };
    let backend = Cpu::with_crew(Kernels::Simd, crew);
    let mut runner = Runner::new(&*loaded.model, &loaded.weights, backend, options);
    let outputs = pollster::block_on(runner.infer(&loaded.inputs)).unwrap();
    let worked = runner.backend().threads().unwrap_or(1);
    (outputs, worked)
}

#[test]
fn models_give_the_same_bits_on_any_number_of_threads() {
    for class in classes::classes() {
        let (one, _) = model(&class, "tiny", Crew::alone());
        for threads in 2..=4 {
            let (outputs, worked) = model(&class, "tiny", crew(threads));
            assert_eq!(worked, threads, "{class}: threads that computed");
            assert_eq!(bits(&outputs), bits(&one), "{class} on {threads} threads");
        }
    }
}

/// With the usual grain, whose parts are larger and fewer.
#[test]
fn work_that_is_worth_it_is_shared_and_no_other() {
    let (one, _) = model("bert", "small", Crew::alone());
    let (outputs, worked) = model("bert", "small", Crew::spawned(3).unwrap());
    assert_eq!(worked, 3);
    assert_eq!(bits(&outputs), bits(&one));
}
