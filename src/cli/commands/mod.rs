//! The commands, one a file: each puts the stages together for one purpose.

pub(super) mod bench;
pub(super) mod browsers;
pub(super) mod compare;
pub(super) mod docs;
pub(super) mod explain;
pub(super) mod gate;
mod ledger;
pub(super) mod memory;
pub(super) mod merge;
pub(super) mod models;
pub(super) mod plan;
pub(super) mod probe;
pub(super) mod pull;
pub(super) mod quantize;
pub(super) mod report;
pub(super) mod run;
pub(super) mod serve;
mod stored;
pub(super) mod tune;
pub(super) mod verify;
