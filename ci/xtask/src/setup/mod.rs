//! Brings what the project needs: each thing is looked for first, named before it is fetched, and fetched once for all
//! checkouts. Where nothing may or can be installed, the exact command to type is printed instead.

mod actionlint;
mod apt;
mod axe;
mod browsers_toml;
mod cargo_tools;
mod chromium_webnn;
mod duckdb;
mod junit_schema;
mod npm;
mod ort_web;
mod system;
mod wasm;

use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::say::say;
use crate::workspace::Workspace;

pub(crate) use self::actionlint::module as actionlint;
pub(crate) use self::duckdb::{LIBRARY as DUCKDB_LIBRARY, replace};
pub(crate) use self::npm::{BINARYEN, BINARYEN_VERSION, folder as npm_folder};
pub(crate) use self::ort_web::{VERSION as ORT_WEB_VERSION, dist as ort_web_dist};

/// How much is needed; each scope includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To build the binary: the wasm toolchain, libduckdb, `wasm-opt`.
    Build,
    /// To run it: browsers and their drivers.
    Run,
    /// To hold it against another runtime: that runtime.
    Bench,
    /// To check everything: `cargo-deny`, actionlint, axe-core, a schema of JUnit.
    Test,
}

/// Brings what `scope` needs, or with `install` false says what is missing. An error when anything is missing afterwards.
pub(crate) fn set_up(ws: &Workspace, scope: Scope, install: bool) -> Result<()> {
    ws.link_tools()?;
    // Two checkouts that set up at once would unpack into one another's folders.
    let lock = File::create(ws.tools.join("setup.lock")).context("could not make the set-up lock")?;
    lock.lock().context("could not take the set-up lock")?;

    let mut setup =
        Setup { ws, scope, install, packages: Vec::new(), to_type: Vec::new(), failed: Vec::new() };
    wasm::bring(&mut setup);
    system::bring(&mut setup);
    wasm::verify(&mut setup);
    duckdb::bring(&mut setup)?;
    npm::bring_wasm_opt(&mut setup)?;
    if scope >= Scope::Run {
        cargo_tools::bring(&mut setup, &cargo_tools::GECKODRIVER);
        chromium_webnn::bring(&mut setup)?;
    }
    if scope >= Scope::Bench {
        ort_web::bring(&mut setup)?;
    }
    if scope >= Scope::Test {
        cargo_tools::bring(&mut setup, &cargo_tools::CARGO_DENY);
        actionlint::bring(&mut setup)?;
        axe::bring(&mut setup)?;
        junit_schema::bring(&mut setup)?;
    }
    setup.finish()
}

/// One set-up under way: what it may do, and what it could not.
pub(crate) struct Setup<'a> {
    ws: &'a Workspace,
    scope: Scope,
    install: bool,
    /// System packages that steps before [`system::bring`] ask for.
    packages: Vec<&'static str>,
    /// Commands that a person must type.
    to_type: Vec<String>,
    /// What should be there now and is not.
    failed: Vec<String>,
}

impl Setup<'_> {
    /// Says what comes and why, then runs `commands`, or notes them down where nothing may be installed.
    /// Returns whether they all ran. A failure is kept for the end: the other steps do not depend on this one.
    fn bring(&mut self, what: &str, commands: impl IntoIterator<Item = Command>) -> bool {
        if self.attempt(what, commands) {
            return true;
        }
        self.failed.push(what.to_owned());
        false
    }

    /// [`Self::bring`], where a failure is no failure because something else can be tried.
    fn attempt(&mut self, what: &str, commands: impl IntoIterator<Item = Command>) -> bool {
        if !self.install {
            self.to_type.extend(commands.into_iter().map(|c| process::shown(&c)));
            return false;
        }
        say(format!("setup: {what}"));
        for mut command in commands {
            say(format!("  $ {}", process::shown(&command)));
            if let Err(error) = process::run(&mut command) {
                say(format!("  failed: {error:#}"));
                return false;
            }
        }
        true
    }

    /// Notes something that only a person can bring, with what to do.
    fn by_hand(&mut self, what: impl Into<String>, to_do: impl Into<String>) {
        self.failed.push(what.into());
        self.to_type.push(to_do.into());
    }

    fn finish(self) -> Result<()> {
        if !self.to_type.is_empty() {
            say(
                "setup: type this, then `cargo xtask setup --no-install` once more to unpack what it fetched:",
            );
            self.to_type.iter().for_each(|line| say(format!("  {line}")));
        }
        if !self.failed.is_empty() {
            bail!("set-up is missing: {}", self.failed.join("; "));
        }
        Ok(())
    }
}
