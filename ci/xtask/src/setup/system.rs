//! What the system's own package manager brings: browsers, drivers, a display without a screen, a GPU without a card.

use std::process::Command;

use super::{Scope, Setup, apt};

/// Debian's names, each with its reason.
const BROWSERS: [&str; 11] = [
    "chromium",
    "chromium-driver",
    "chromium-sandbox", // for anyone but root
    "firefox-esr",
    "mesa-vulkan-drivers", // lavapipe: Firefox's WebGPU, and kernel tests without a browser
    "libegl1",
    "libgl1-mesa-dri",
    "webkit2gtk-driver", // Safari's engine on Linux, with MiniBrowser
    "xvfb",              // MiniBrowser needs a display
    "xauth",
    "fonts-dejavu-core", // so that a page has text to show in a screenshot
];

/// Brings the packages asked for so far, and for [`Scope::Run`] the browsers.
pub(super) fn bring(setup: &mut Setup<'_>) {
    match std::env::consts::OS {
        "linux" => linux(setup),
        "macos" => script(setup, "sh", &["ci/setup/macos.sh"]),
        "windows" => {
            script(setup, "powershell", &["-ExecutionPolicy", "Bypass", "-File", "ci/setup/windows.ps1"])
        }
        os => setup.by_hand("browsers", format!("install Chromium, Firefox and their drivers on {os}")),
    }
}

fn linux(setup: &mut Setup<'_>) {
    let mut wanted = std::mem::take(&mut setup.packages);
    if setup.scope >= Scope::Run {
        wanted.extend(BROWSERS);
    }
    if apt::present() {
        apt::bring(setup, &wanted);
    } else if !wanted.is_empty() && which::which("chromium").is_err() {
        setup.by_hand("system packages", format!("install what your system calls {}", wanted.join(" ")));
    }
}

/// The scripts skip what is there, so they are simply run.
fn script(setup: &mut Setup<'_>, shell: &str, args: &[&str]) {
    if setup.scope >= Scope::Run {
        let mut command = Command::new(shell);
        command.args(args).current_dir(&setup.ws.root);
        setup.bring("browsers and drivers", [command]);
    }
}
