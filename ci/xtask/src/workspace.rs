//! Where things lie: the checkout, cargo's target folder, and the cache of tools that all checkouts share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The folders every command works with.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, which may be shared by several checkouts.
    pub(crate) target: PathBuf,
    /// What set-up brings: one folder a tool. It lies outside the checkout, so that a second clone finds it filled.
    pub(crate) tools: PathBuf,
}

impl Workspace {
    /// Finds the folders of the checkout that cargo was called in.
    pub(crate) fn find() -> Result<Self> {
        // The run-time value comes first: checkouts that share a target folder share this program too.
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root =
            Path::new(&manifest).ancestors().nth(2).context("ci/xtask lies two folders deep")?.to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None => target_from_metadata(&root)?,
        };
        Ok(Self { target, tools: cache()?.join("tools"), root })
    }

    /// Makes the cache and points `.tools` in the checkout at it: cargo's configuration can only name a path in the checkout.
    pub(crate) fn link_tools(&self) -> Result<()> {
        fs::create_dir_all(&self.tools)
            .with_context(|| format!("could not make {}", self.tools.display()))?;
        let link = self.root.join(".tools");
        match (fs::symlink_metadata(&link), fs::canonicalize(&link)) {
            (Ok(_), Ok(to)) if to == fs::canonicalize(&self.tools)? => return Ok(()),
            (Ok(meta), _) if meta.is_symlink() => remove_link(&link)?,
            (Ok(_), _) => bail!(
                "{} is in the way: move it, and this makes a link to {}",
                link.display(),
                self.tools.display()
            ),
            (Err(_), _) => {}
        }
        make_link(&self.tools, &link)
            .with_context(|| format!("could not link {} to {}", link.display(), self.tools.display()))
    }

    /// Where the harness that the binary embeds is put.
    pub(crate) fn harness(&self) -> PathBuf {
        self.target.join("harness")
    }

    /// Where programs that `cargo install` brought lie.
    pub(crate) fn bin(&self) -> PathBuf {
        self.tools.join("cargo").join("bin")
    }

    /// The cargo that called us, working in the checkout, with the tools in its `PATH`.
    pub(crate) fn cargo(&self, subcommand: &str) -> Result<Command> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg(subcommand).current_dir(&self.root);
        process::prepend_path(&mut command, &self.bin())?;
        Ok(command)
    }

    /// The program `name`, from the tools or from `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        which::which_in_global(name, Some(self.bin())).ok()?.next().or_else(|| which::which(name).ok())
    }
}

/// `$WEBMATRIX_CACHE`, or the cache folder this system gives us.
fn cache() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("WEBMATRIX_CACHE") {
        return Ok(std::path::absolute(dir)?);
    }
    let dirs =
        directories::ProjectDirs::from("", "", "webmatrix").context("no home folder: set WEBMATRIX_CACHE")?;
    Ok(dirs.cache_dir().to_owned())
}

/// Asks cargo, because the target folder may be set in a configuration file above the checkout.
fn target_from_metadata(root: &Path) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let metadata =
        process::output(command.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(root))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into())
}

#[cfg(unix)]
fn make_link(to: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, link)
}

#[cfg(unix)]
fn remove_link(link: &Path) -> std::io::Result<()> {
    fs::remove_file(link)
}

/// A junction: unlike a symbolic link it needs no special right on Windows.
#[cfg(windows)]
fn make_link(to: &Path, link: &Path) -> std::io::Result<()> {
    let made = process::succeeds(Command::new("cmd").args(["/C", "mklink", "/J"]).args([link, to]));
    if made { Ok(()) } else { Err(std::io::Error::other("mklink /J failed")) }
}

#[cfg(windows)]
fn remove_link(link: &Path) -> std::io::Result<()> {
    fs::remove_dir(link)
}
