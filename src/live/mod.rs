//! The dashboard: the report, served, and told of what a run adds to it.
//!
//! It takes no lock that a run may want. What it shows is a database of its own, made of a copy of the one that is there and of
//! the journals beside it, which are what every database is a consequence of.

mod follow;
mod server;

pub use follow::{FollowError, Follower};
pub use server::{Dashboard, Page, Progress};
