//! The spine from plan to rows, with pages that speak the protocol over HTTP but live in no browser.

mod command;
mod fake;
mod http;
mod protocol;
mod resume;
mod statuses;
