//! Debian's and Ubuntu's packages.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::process::Command;

use super::Setup;
use crate::process::{self, words};
use crate::say::say;

/// Whether this system has apt.
pub(super) fn present() -> bool {
    which::which("apt-get").is_ok() && which::which("dpkg-query").is_ok()
}

/// Installs those of `wanted` that are missing.
pub(super) fn bring(setup: &mut Setup<'_>, wanted: &[&'static str]) {
    let mut missing = missing(wanted, &installed(wanted));
    if missing.is_empty() {
        return;
    }
    let privilege = privilege();
    let sudo = privilege.unwrap_or("sudo ");
    if !setup.install || privilege.is_none() {
        let list = missing.join(" ");
        setup.by_hand(
            format!("system packages {list}"),
            format!("{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {list}"),
        );
        return;
    }
    // Stale lists name versions that the archive no longer has, so they are always renewed first.
    if !setup.bring("the package lists", [words(&format!("{sudo}apt-get update -q"))]) {
        return;
    }
    missing.retain(|package| {
        let known = process::succeeds(&mut words(&format!("apt-cache show {package}")));
        if !known {
            say(format!("setup: this system's archive has no `{package}`: the browser it belongs to must come another way"));
        }
        known
    });
    if missing.is_empty() {
        return;
    }
    let list = missing.join(" ");
    // Through `env`, because sudo drops the variables of its caller.
    let line = format!(
        "{sudo}env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {list}"
    );
    setup.bring(&format!("system packages {list}"), [words(&line)]);
}

/// What dpkg says about each package. It fails when one is unknown, and still prints the others.
fn installed(packages: &[&str]) -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"]).args(packages);
    query.output().map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
}

/// Those of `wanted` that `dpkg` does not call installed.
fn missing(wanted: &[&'static str], dpkg: &str) -> Vec<&'static str> {
    let installed: HashSet<&str> = dpkg.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    wanted.iter().copied().filter(|package| !installed.contains(package)).collect()
}

/// What must stand before a command to run it as root: nothing for root, `sudo ` where it can be used, else `None`.
fn privilege() -> Option<&'static str> {
    if process::output(&mut words("id -u")).is_ok_and(|id| id == "0") {
        return Some("");
    }
    let asks = which::which("sudo").is_ok() && std::io::stdin().is_terminal();
    (asks || process::succeeds(&mut words("sudo -n true"))).then_some("sudo ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dpkg_calls_installed_is_there() {
        let dpkg = "chromium installed\nxvfb config-files\nlibegl1 not-installed\n";
        assert_eq!(missing(&["chromium", "xvfb", "libegl1", "lld"], dpkg), ["xvfb", "libegl1", "lld"]);
        assert_eq!(missing(&["chromium"], ""), ["chromium"]);
    }
}
