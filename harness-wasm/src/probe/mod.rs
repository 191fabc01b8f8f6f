//! What this browser can do, tried rather than asked.

mod gpu;
mod ml;
mod wasm;

use webmatrix_wire::{EnvironmentFacts, Job, Message, ProbeReport, TimerFacts};

use crate::report::{Failure, Reporter};
use crate::sys::{flag, get, global, navigator, now, number, text};

pub(crate) async fn run(job: &Job, reporter: &Reporter) -> Result<(), Failure> {
    reporter.progress("Probing WebGPU", 0.1).await?;
    let webgpu = gpu::probe(job.nonce).await;
    reporter.progress("Probing WebNN", 0.5).await?;
    let webnn = ml::probe(job.nonce).await;
    reporter.progress("Probing WebAssembly", 0.9).await?;
    let report = ProbeReport {
        webgpu,
        webnn,
        wasm: wasm::probe(),
        environment: environment(),
        timers: TimerFacts { performance_now_us: timer_step_us(), gpu_timestamp_us: None },
    };
    reporter.send(Message::Probe(Box::new(report)));
    Ok(())
}

fn environment() -> EnvironmentFacts {
    let (scope, navigator) = (global(), navigator());
    EnvironmentFacts {
        user_agent: text(&navigator, "userAgent"),
        hardware_concurrency: number(&navigator, "hardwareConcurrency") as u32,
        device_memory_gib: get(&navigator, "deviceMemory").as_f64(),
        secure_context: flag(&scope, "isSecureContext"),
        cross_origin_isolated: flag(&scope, "crossOriginIsolated"),
        in_worker: !get(&scope, "WorkerGlobalScope").is_undefined(),
    }
}

/// The smallest step of `performance.now()` that is seen while spinning, in microseconds.
pub(crate) fn timer_step_us() -> f64 {
    let mut smallest = f64::INFINITY;
    for _ in 0..20 {
        let start = now();
        let mut next = start;
        // A clock that stands still for long is told as it is found.
        for _ in 0..2_000_000 {
            next = now();
            if next > start {
                break;
            }
        }
        if next > start {
            smallest = smallest.min(next - start);
        }
    }
    if smallest.is_finite() { smallest * 1000.0 } else { 0.0 }
}
