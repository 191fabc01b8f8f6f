//! The spine from plan to rows, with pages that speak the protocol over HTTP but live in no browser.

mod action;
mod axes;
mod caches;
mod claims;
mod command;
mod compare;
#[cfg(target_os = "linux")]
mod deaths;
mod documents;
mod explain;
mod exports;
mod fake;
mod fallback;
mod faulty;
mod files;
mod gate;
mod html;
mod http;
mod hub;
mod limits;
mod merge;
mod ops;
mod peer;
mod precisions;
mod protocol;
mod quantize;
mod resume;
mod serve;
mod statuses;
mod switches;
mod tasks;
mod traces;
mod tune;
mod verify;
