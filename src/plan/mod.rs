//! What is to be measured: axes, matrix files, and the cells they span. Pure: no IO, no clock.

pub mod axis;
mod bench;
mod cell;
mod checkpoint;
mod chosen;
mod claims;
mod compared;
mod decide;
mod expand;
mod fields;
mod file;
mod found;
mod gate;
mod generation;
mod known;
mod label;
mod matrix;
mod model;
mod ops;
mod planned;
mod schema;
mod shape;
mod shard;
#[cfg(test)]
mod tests;
mod thresholds;
mod tuned;
mod verification;

pub use bench::{BACKENDS, Measure, SUBJECTS};
pub use cell::{Cell, CellError, NATIVE};
pub use checkpoint::{Checkpoint, CheckpointError, is_commit};
pub use chosen::Chosen;
pub use claims::{
    Against, Bound, ChosenCells, Claim, Claims, ClaimsError, Metric, MetricKind, NO_FEATURE, Query,
};
pub use compared::{Compared, are_of_start, compared, precisions_of, with_opposites};
pub use expand::{Overrides, plan};
pub use file::{CellModel, FileName, FileNameError, ModelFile, PinnedFile};
pub use found::{Found, PlanError};
pub use gate::{GateRules, GateRulesError, MetricRule, Worse};
pub use generation::Generation;
pub use known::{KnownFailure, KnownFailures, KnownFailuresError};
pub use label::is_label;
pub use matrix::{
    Axes, DEFAULT_PROFILE, Deadlines, EMBEDDED, Exclude, Include, Matrix, MatrixError, Profile, RunSettings,
    parse, profile_of,
};
pub use model::{MODEL_NAMES, MODELS, ModelClass, ModelInfo, Runtime, Size};
pub use ops::{OpsSuite, ops_suite};
pub use planned::{Decision, OpsTarget, Plan, PlannedCell, PlannedOps};
pub use schema::{claims_schema, gate_schema, matrix_schema, thresholds_schema};
pub use shape::{BATCHES, SEQUENCE_LENGTHS, Shape};
pub use shard::Shard;
pub use thresholds::{HostOps, Thresholds, ThresholdsError};
pub use tuned::{Tuned, kind, tuned, with_choices};
pub use verification::{Verification, verification};
