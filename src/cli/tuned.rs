//! What `webmatrix tune` found, kept beside the database for `run --tuned`: it holds for the machine, the browser and the
//! harness that it was measured with, and for nothing else.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::config::{Machine, Places};
use super::machine;
use crate::analyse::tuning::Choice;
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{Cell, NATIVE};

const VERSION: u32 = 1;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tuned {
    version: u32,
    entries: Vec<Entry>,
}

/// What was found for one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Where.
    pub(super) place: Place,
    /// The adapter's words, or the CPU's name.
    pub(super) adapter: String,
    /// The run that measured it.
    pub(super) run: String,
    /// UTC.
    pub(super) at: String,
    pub(super) choice: Choice,
}

/// What a choice holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// System, processor and cores.
    pub(super) machine: String,
    /// The browser's version; of the host, this program's.
    pub(super) browser_version: String,
    /// Hash over the harness builds.
    pub(super) harness: String,
}

/// System, processor and cores of this machine.
pub(super) fn machine_name() -> String {
    let facts = machine::facts();
    let named = ["os", "arch", "cpu", "cores"].iter().filter_map(|name| facts.get(*name));
    named.map(String::as_str).collect::<Vec<_>>().join(" ")
}

impl Place {
    /// A browser of the machine of that name.
    pub(super) fn of(host: &str, browser: &str, found: &Machine) -> Self {
        let installed = found.installed.iter().find(|installed| installed.label == browser);
        let version = installed.and_then(|installed| installed.version.as_ref());
        let browser_version = if browser == NATIVE {
            env!("CARGO_PKG_VERSION").to_owned()
        } else {
            version.map(ToString::to_string).unwrap_or_default()
        };
        Self { machine: host.to_owned(), browser_version, harness: crate::serve::harness_hash() }
    }
}

impl Tuned {
    fn file(places: &Places) -> PathBuf {
        places.out.join("tuned.json")
    }

    /// What is kept; nothing where nothing was tuned yet.
    pub(super) fn load(places: &Places) -> Result<Self, Failure> {
        let file = Self::file(places);
        let read = |file: &Path| -> anyhow::Result<Self> {
            let known: Self = serde_json::from_slice(&std::fs::read(file)?)?;
            anyhow::ensure!(known.version == VERSION, "version {} is not {VERSION}", known.version);
            Ok(known)
        };
        if !file.exists() {
            return Ok(Self { version: VERSION, entries: Vec::new() });
        }
        let told = || format!("{}: tune again after deleting it", file.display());
        read(&file).with_context(told).exit(ExitStatus::BadData)
    }

    /// What holds for the cell in this place.
    pub(super) fn get(&self, cell: &Cell, place: &Place) -> Option<&Entry> {
        let id = cell.to_string();
        self.entries.iter().find(|entry| entry.choice.cell == id && entry.place == *place)
    }

    /// Keeps entries, in place of older ones on the same cells of the same machine.
    pub(super) fn keep(mut self, new: Vec<Entry>, places: &Places) -> Result<PathBuf, Failure> {
        let replaced = |old: &Entry| {
            new.iter().any(|new| new.choice.cell == old.choice.cell && new.place.machine == old.place.machine)
        };
        self.entries.retain(|old| !replaced(old));
        self.entries.extend(new);
        let file = Self::file(places);
        let write = || -> anyhow::Result<()> {
            let mut whole = tempfile::NamedTempFile::new_in(&places.out)?;
            serde_json::to_writer_pretty(&mut whole, &self)?;
            whole.write_all(b"\n")?;
            whole.persist(&file)?;
            Ok(())
        };
        write().with_context(|| file.display().to_string()).exit(ExitStatus::BadData)?;
        Ok(file)
    }
}
