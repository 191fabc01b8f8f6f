//! The types that controller and page share.
//!
//! A page gets one [`Job`] and answers with [`Batch`]es of [`Message`]s. The page states facts only
//! (what it created, dispatched, timed and computed); every verdict (status, evidence grade,
//! agreement) is the controller's.
//!
//! Any change to these types changes the schema hash below, which a test holds against an approved
//! one: whoever changes the wire must also raise [`WIRE_VERSION`].

mod axis;
mod feature;
mod job;
mod memory;
mod message;
mod probe;

pub use axis::{Backend, EvidenceGrade, Implementation, Precision, Status, UnknownName, Variant};
pub use feature::{Feature, MOST_THREADS, USUAL_THREADS, UnknownFeature};
pub use job::{
    AttemptId, CellJob, Generation, Job, JobKind, ModelSource, PairsJob, Sampling, Side, Subject, TwinSize,
    Until,
};
pub use memory::{Memory, MemoryKind};
pub use message::{
    AdapterFacts, BackendFacts, Batch, Challenge, Done, Envelope, Failed, FailureKind, Hello, Loaded, Log,
    LogLevel, Message, Metric, OpCase, OpCount, Pair, PeerFacts, Phase, Pipelines, Placed, Progress, Receipt,
    Sample, StepDown, Timing, Tokens,
};
pub use probe::{
    Capability, EnvironmentFacts, OpSupport, ProbeReport, TimerFacts, WasmFacts, WebGpuFacts, WebNnFacts,
};

/// The version of everything in this crate. Controller and page refuse to talk across versions.
pub const WIRE_VERSION: u32 = 8;

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    /// Fails on every change to the wire: approve the new hash and raise `WIRE_VERSION` together.
    #[test]
    fn schema_is_the_approved_one() {
        let mut hash = Sha256::new();
        for schema in [
            schemars::schema_for!(crate::Job),
            schemars::schema_for!(crate::Batch),
            schemars::schema_for!(crate::Receipt),
        ] {
            hash.update(serde_json::to_vec(&schema).expect("a schema is JSON"));
        }
        let digest = hex::encode(hash.finalize());
        insta::assert_snapshot!(format!("{} {}", crate::WIRE_VERSION, &digest[..16]), @"8 48cda4cc6ede7437");
    }
}
