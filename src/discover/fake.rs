//! A machine made of a table, for tests of all three systems on one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::discover::host::{Host, Os};

/// Files, links, variables and what programs answer.
pub(crate) struct FakeHost {
    os: Os,
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
    versions: BTreeMap<PathBuf, String>,
    variables: BTreeMap<String, String>,
}

impl FakeHost {
    pub(crate) fn new(os: Os) -> Self {
        Self {
            os,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            versions: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.into(), content.as_ref().to_vec());
        self
    }

    /// A program that answers `--version`.
    pub(crate) fn program(mut self, path: &str, version: &str) -> Self {
        self.versions.insert(path.into(), version.to_owned());
        self.file(path, "\x7fELF")
    }

    pub(crate) fn link(mut self, from: &str, to: &str) -> Self {
        self.links.insert(from.into(), to.into());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Host for FakeHost {
    fn os(&self) -> Os {
        self.os
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn home(&self) -> Option<PathBuf> {
        Some(match self.os {
            Os::Linux => "/home/user".into(),
            Os::MacOs => "/Users/user".into(),
            Os::Windows => r"C:\Users\user".into(),
        })
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(&self.canonical(path))
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        while let Some(target) = self.links.get(&path) {
            path = target.clone();
        }
        path
    }

    fn read(&self, path: &Path, limit: u64) -> Option<Vec<u8>> {
        let content = self.files.get(&self.canonical(path))?;
        Some(content.iter().copied().take(usize::try_from(limit).ok()?).collect())
    }

    fn which(&self, program: &str) -> Option<PathBuf> {
        let separator = if self.os == Os::Windows { ';' } else { ':' };
        let search = self.variables.get("PATH")?;
        let suffix = if self.os == Os::Windows { ".exe" } else { "" };
        search
            .split(separator)
            .map(|folder| PathBuf::from(format!("{folder}{}{program}{suffix}", self.os.separator())))
            .find(|path| self.is_file(path))
    }

    fn version_output(&self, program: &Path) -> Result<String, String> {
        self.versions
            .get(&self.canonical(program))
            .cloned()
            .ok_or_else(|| "ended with exit status: 127".into())
    }
}
