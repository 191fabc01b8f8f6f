//! The spine from plan to rows, with pages that speak the protocol over HTTP but live in no browser.

mod axes;
mod caches;
mod command;
mod compare;
#[cfg(target_os = "linux")]
mod deaths;
mod documents;
mod fake;
mod fallback;
mod files;
mod gate;
mod http;
mod hub;
mod limits;
mod ops;
mod peer;
mod precisions;
mod protocol;
mod quantize;
mod resume;
mod statuses;
mod tasks;
mod traces;
mod verify;
