//! Which browsers are on this machine, which version and channel they are, and how they are driven.
//!
//! [`discover`] asks, in this order: `--browser-path`, the user's `browsers.toml`, the environment, the
//! search path, and the known places of three systems. One program is listed once, under the label of the
//! first place that named it. A browser that cannot be driven is listed too, with the
//! [`Problem`] and its remedy, because "what is missing" is half of what a user wants to know.
//!
//! **Architecture invariant:** only [`host::ThisMachine`] touches the machine.

mod conditions;
mod drivers;
#[cfg(test)]
pub(crate) mod fake;
mod find;
pub mod host;
mod installed;
mod places;
mod probe;
mod select;
#[cfg(test)]
mod tests;
mod user;
mod version;
mod wrapper;

pub use conditions::Conditions;
pub use find::discover;
pub use host::{Host, Os, ThisMachine};
pub use installed::{Driver, DriverKind, Installed, Problem, Severity, Source};
pub use select::{Absent, Chosen, Selection, select};
pub use user::{BrowserPath, UserBrowser, UserBrowsers, UserError};
pub use version::{Channel, Version};
