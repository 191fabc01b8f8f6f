//! WebMatrix: does this model run in that browser, correctly, how fast, at which precision.
//!
//! The modules are the stages of the pipeline, in the order in which data flows through them.
//! A stage imports only earlier stages (and [`webmatrix_wire`]).

pub mod plan;
pub mod discover;
pub mod session;
