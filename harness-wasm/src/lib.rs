//! What runs in the tested browser: one worker that fetches its job, does it, and reports facts.
//!
//! Everything that touches JavaScript is in `sys`; the rest is ordinary Rust.

mod arrays;
mod cell;
mod client;
mod file;
mod limits;
mod load;
mod memory;
mod ops;
mod pairs;
mod peer;
mod peer_failure;
mod probe;
mod report;
mod schedule;
mod sys;
mod threads;
mod webgpu;
mod webnn;
mod witness;

use wasm_bindgen::prelude::wasm_bindgen;
use webmatrix_wire::{Job, JobKind, Variant, WIRE_VERSION};

use crate::client::Client;
use crate::report::Reporter;
use crate::sys::{Function, now};

/// Does a job and reports it. `module_ms` is how long it took to get here, `module_asked` when on the
/// worker's clock this module was asked for; `show` takes updates for the person who watches, as JSON.
///
/// # Errors
/// If the job is of another wire version or the controller cannot be reached; whatever goes wrong
/// inside the job is reported to the controller instead.
#[wasm_bindgen]
pub async fn run(
    job: String,
    token: String,
    variant: String,
    variant_reason: String,
    module_ms: f64,
    module_asked: f64,
    show: Function,
) -> Result<(), wasm_bindgen::JsError> {
    report::install_panic_hook();
    let start = now();
    let job: Job = serde_json::from_str(&job)?;
    if job.wire_version != WIRE_VERSION {
        let text =
            format!("the controller speaks wire version {}, this page {WIRE_VERSION}", job.wire_version);
        return Err(wasm_bindgen::JsError::new(&text));
    }
    let variant: Variant = variant.parse()?;
    // What was loaded is a fact, and this code was compiled for one build.
    if variant.is_relaxed() != cfg!(target_feature = "relaxed-simd") {
        let text = format!("the page says that it loaded the build {variant}, and this is another");
        return Err(wasm_bindgen::JsError::new(&text));
    }
    let client = Client::new(&job.attempt, &token);
    let reporter = Reporter::new(client, &job.attempt, show);
    reporter.title(&job.title);
    reporter.hello(variant, variant_reason);
    reporter.timing(webmatrix_wire::Phase::Module, module_ms);
    let outcome = match &job.kind {
        JobKind::Probe {} => probe::run(&job, &reporter).await,
        JobKind::Cell(cell) => cell::run(&job, cell, &reporter).await,
        JobKind::Trace(cell) => cell::trace(&job, cell, &reporter).await,
        JobKind::Ops { backend, features } => ops::run(&job, *backend, features, &reporter).await,
        JobKind::Pairs(work) => pairs::run(&job, work, &reporter).await,
        JobKind::Cold { side, work } => pairs::cold(&job, *side, work, module_asked, &reporter).await,
    };
    reporter.finish(outcome, now() - start).await?;
    Ok(())
}

/// Takes part in the kernels of the job as thread `number`, until the job is over. Blocks.
#[wasm_bindgen]
pub fn work(number: usize) {
    threads::work(number);
}

/// Tells the job that thread `number` has trapped, in the browser's words.
#[wasm_bindgen]
pub fn thread_failed(number: usize, text: &str) {
    threads::failed(number, text);
}

/// The batch that tells the controller of a death, for a worker whose instance has trapped.
#[wasm_bindgen]
pub fn last_words(text: &str) -> String {
    report::last_words(text)
}
