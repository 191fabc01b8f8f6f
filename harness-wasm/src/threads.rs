//! Threads for the kernels of a job: workers of the page that share this module's memory.

use std::sync::OnceLock;

use webmatrix_engine::backend::cpu::{Cpu, Crew, Kernels, Member};
use webmatrix_wire::{FailureKind, Feature};

use crate::report::Failure;
use crate::sys::{call_async, global, navigator, number, words};

/// Workers see the memory of the job's worker, this in it.
static MEMBER: OnceLock<Member> = OnceLock::new();

/// The CPU's executor with the threads and kernels that a job's features ask for.
pub(crate) async fn cpu(features: &[String]) -> Result<Cpu, Failure> {
    let cores = number(&navigator(), "hardwareConcurrency") as u32;
    let crew = crew(Feature::threads(features, cores)).await?;
    Ok(Cpu::with_crew(Kernels::Simd, crew).with_relaxed_dot(Feature::relaxed_dot(features)))
}

/// So many threads, each of which has said that it is ready.
pub(crate) async fn crew(threads: u32) -> Result<Crew, Failure> {
    if threads <= 1 {
        return Ok(Crew::alone());
    }
    let unsupported = |text: String| Failure::new(FailureKind::Unsupported, "threads", text);
    if !cfg!(target_feature = "atomics") {
        return Err(unsupported("this build of the harness shares no memory".to_owned()));
    }
    let (crew, member) = Crew::of(threads as usize);
    if MEMBER.set(member).is_err() {
        return Err(Failure::new(FailureKind::Error, "threads", "a job starts its threads once"));
    }
    // Workers are loaded by this thread's event loop: it must not be blocked before they are ready.
    let shared = [threads.into(), wasm_bindgen::module(), wasm_bindgen::memory()];
    call_async(&global(), "threads", &shared).await.map_err(|error| unsupported(words(&error)))?;
    Ok(crew)
}

/// Takes part in kernels as thread `number` until the job is over. Blocks.
pub(crate) fn work(number: usize) {
    if let Some(member) = MEMBER.get() {
        member.serve(number);
    }
}

/// Tells the job that thread `number` has trapped.
pub(crate) fn failed(number: usize, text: &str) {
    if let Some(member) = MEMBER.get() {
        member.fail(&format!("thread {number}: {text}"));
    }
}
