//! The compiler that builds for wasm: the active toolchain when it has the target, else Debian's `rustc-web`, which can
//! build the standard library for it from source.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::variant::Variant;
use crate::process::{self, words};
use crate::workspace::Workspace;

/// The target the harness is built for.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Chooses a toolchain by hand: `rustup` or `debian`.
const CHOICE: &str = "WEBMATRIX_WASM_TOOLCHAIN";

/// Where Debian puts its compiler, and the standard library's source that goes with it.
const DEBIAN_BIN: &str = "/usr/bin";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std";

/// A toolchain that builds the harness.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The toolchain that called us, with its own standard library for wasm.
    Active,
    /// Debian's, which has only the source of that library, and this linker.
    Debian { linker: PathBuf },
}

/// Whether rustup's toolchain may be used, and asked for the target.
pub(crate) fn rustup_allowed() -> bool {
    std::env::var_os(CHOICE).is_none_or(|choice| choice == "rustup")
}

impl Toolchain {
    /// The toolchain that builds `variant`, as an error where there is none.
    pub(crate) fn for_variant(variant: &Variant) -> Result<Self> {
        Self::find(variant.rebuilds_std).with_context(|| {
            format!("no toolchain here builds variant {}: run `cargo xtask setup`", variant.name)
        })
    }

    /// The first toolchain on this machine that builds for wasm; `from_source` asks that it can build the standard
    /// library too.
    pub(crate) fn find(from_source: bool) -> Option<Self> {
        if rustup_allowed() && active_has_target() && (!from_source || active_has_std_source()) {
            return Some(Self::Active);
        }
        let allowed = std::env::var_os(CHOICE).is_none_or(|choice| choice == "debian");
        if allowed && Path::new(DEBIAN_STD).is_dir() && Path::new(DEBIAN_BIN).join("cargo").is_file() {
            return Some(Self::Debian { linker: linker()? });
        }
        None
    }

    /// What a person would call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Active => "the active toolchain",
            Self::Debian { .. } => "Debian's rustc-web, which builds its standard library first",
        }
    }

    /// What tells this compiler from every other.
    pub(crate) fn identity(&self) -> Result<String> {
        match self {
            Self::Active => process::output(&mut words("rustc --version --verbose")),
            Self::Debian { .. } => process::output(Command::new(DEBIAN_BIN.to_owned() + "/rustc").arg("-vV")),
        }
    }

    /// Whether it has clippy.
    pub(crate) fn has_clippy(&self) -> bool {
        match self {
            Self::Active => which::which("cargo-clippy").is_ok(),
            Self::Debian { .. } => Path::new(DEBIAN_BIN).join("clippy-driver").is_file(),
        }
    }

    /// `cargo <subcommand>` for the wasm target, with the flags of `variant`.
    pub(crate) fn cargo(&self, ws: &Workspace, subcommand: &str, variant: &Variant) -> Result<Command> {
        let mut cargo = self.own_cargo(ws, subcommand)?;
        // cargo would let the other variable win over this one.
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", variant.rustflags());
        cargo.args(["--target", WASM]);
        if *self != Self::Active || variant.rebuilds_std {
            // build-std is unstable; this is the switch that lets a stable compiler use it.
            cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
        }
        Ok(cargo)
    }

    /// `cargo <subcommand>` for targets whose standard library is not here: it is compiled with the rest.
    pub(crate) fn cargo_from_source(
        &self,
        ws: &Workspace,
        subcommand: &str,
        targets: &[&str],
    ) -> Result<Command> {
        let mut cargo = self.own_cargo(ws, subcommand)?;
        cargo.arg("-Zbuild-std=std").env("RUSTC_BOOTSTRAP", "1");
        for target in targets {
            cargo.arg("--target").arg(target);
        }
        Ok(cargo)
    }

    fn own_cargo(&self, ws: &Workspace, subcommand: &str) -> Result<Command> {
        match self {
            Self::Active => ws.cargo(subcommand),
            Self::Debian { linker } => debian_cargo(ws, subcommand, linker),
        }
    }
}

/// Debian's cargo, with nothing left of the toolchain that called us: its library path alone would load the wrong LLVM.
fn debian_cargo(ws: &Workspace, subcommand: &str, linker: &Path) -> Result<Command> {
    let bin = Path::new(DEBIAN_BIN);
    let mut cargo = Command::new(bin.join("cargo"));
    cargo.arg(subcommand).current_dir(&ws.root);
    cargo.env("RUSTC", bin.join("rustc")).env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    cargo
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTDOC");
    // cargo finds its subcommands on the path, where rustup's proxies would come first.
    process::prepend_path(&mut cargo, bin)?;
    Ok(cargo)
}

/// The library's folder exists even for a target that is not there: what counts is the library in it.
fn active_has_target() -> bool {
    let libdir = process::output(&mut words(&format!("rustc --print target-libdir --target {WASM}")));
    libdir.is_ok_and(|dir| has_std(Path::new(&dir)))
}

fn has_std(libdir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(libdir) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn active_has_std_source() -> bool {
    let sysroot = process::output(&mut words("rustc --print sysroot"));
    sysroot.is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir())
}

/// rustup's own linker understands everything its LLVM emits; Debian's `lld` is older and comes second.
fn linker() -> Option<PathBuf> {
    let own = process::output(&mut words("rustc --print target-libdir")).ok();
    let own = own.and_then(|dir| Some(Path::new(&dir).parent()?.join("bin").join("rust-lld")));
    own.filter(|path| path.is_file()).or_else(|| which::which("wasm-ld").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_folder_counts_only_with_the_library_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_std(&dir.path().join("absent")));
        std::fs::write(dir.path().join("libstd-12ab.rmeta"), "").unwrap();
        assert!(!has_std(dir.path()));
        std::fs::write(dir.path().join("libstd-12ab.rlib"), "").unwrap();
        assert!(has_std(dir.path()));
    }
}
