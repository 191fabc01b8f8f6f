//! WebMatrix: does this model run in that browser, correctly, how fast, at which precision.
//!
//! The modules are the stages of the pipeline. Data flows `cli → plan → discover → session → serve →
//! collect → store → analyse → render → live`; a stage imports only earlier stages, [`error`], [`event`] and
//! [`webmatrix_wire`]. The exception is the far end: `cli::commands` puts the stages together.

pub mod error;
pub mod event;

pub mod plan;

pub mod discover;

pub mod session;

pub mod serve;

pub mod collect;

pub mod store;

pub mod analyse;

pub mod render;

pub mod live;

pub mod cli;
