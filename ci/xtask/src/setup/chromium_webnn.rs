//! A Chromium whose WebNN really computes. Debian's is built without the library behind WebNN and refuses every context;
//! the headless shell inside one npm package has it, with a software GPU beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Setup, browsers_toml, npm};
use crate::process;
use crate::say::say;

const PACKAGE: &str = "@sparticuz/chromium";
/// Numbered as its Chromium is.
const VERSION: &str = "153.0.0";
/// The name of the browser on a command line, and of its folder among the tools.
const LABEL: &str = "chromium-webnn";

/// Unpacks the browser and enters it into the user's list. The package has a binary for one system only.
pub(super) fn bring(setup: &mut Setup<'_>) -> Result<()> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        return Ok(());
    }
    let folder = setup.ws.tools.join(LABEL);
    let binary = folder.join("chromium");
    let unpacked = fs::read_to_string(folder.join("VERSION")).is_ok_and(|v| v == VERSION) && binary.is_file();
    if !unpacked {
        let why = "a Chromium with a working WebNN";
        let Some(package) = npm::bring(setup, PACKAGE, VERSION, why)? else { return Ok(()) };
        say(format!("setup: {PACKAGE} unpacked into {}", folder.display()));
        unpack(&package, &folder).with_context(|| format!("could not unpack {PACKAGE}"))?;
    }
    let driver = which::which("chromedriver").ok();
    browsers_toml::register(LABEL, &binary, driver.as_deref())
}

/// The package unpacks itself into the temporary folder, from where a reboot would take it away: we name a lasting one.
fn unpack(package: &Path, folder: &Path) -> Result<()> {
    let staging = folder.with_extension("new");
    remove(&staging)?;
    fs::create_dir_all(&staging)?;
    let script = format!(r#"import("{PACKAGE}").then((module) => module.default.executablePath())"#);
    let mut node = Command::new("node");
    node.args(["--eval", &script]).env("TMPDIR", &staging).current_dir(package);
    process::run(&mut node)?;
    // It comes readable by its owner alone, who may not be who runs the browsers.
    process::make_executable(&staging.join("chromium")).context("the package brought no chromium")?;
    fs::write(staging.join("VERSION"), VERSION)?;
    remove(folder)?;
    Ok(fs::rename(staging, folder)?)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    Ok(())
}
