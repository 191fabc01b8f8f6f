//! Where browsers and drivers live: names on the search path, environment variables, known places.
//!
//! Tables only. Paths are written with the host's own separator, as text: a Windows layout must read
//! the same on the Linux machine that tests it.

use std::path::PathBuf;

use crate::discover::host::{Host, Os};
use crate::discover::{Channel, DriverKind};
use crate::plan::axis::BrowserKind::{self, Chrome, Chromium, Edge, Firefox, Safari, WebKitGtk};

/// A place where a browser may be.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) kind: BrowserKind,
    pub(super) channel: Channel,
    pub(super) path: PathBuf,
}

/// Programs looked up on the search path. Only Unix puts browsers there.
const ON_PATH: &[(BrowserKind, Channel, &str)] = &[
    (Chrome, Channel::Stable, "google-chrome-stable"),
    (Chrome, Channel::Stable, "google-chrome"),
    (Chrome, Channel::Beta, "google-chrome-beta"),
    (Chrome, Channel::Dev, "google-chrome-unstable"),
    (Chrome, Channel::Canary, "google-chrome-canary"),
    (Edge, Channel::Stable, "microsoft-edge-stable"),
    (Edge, Channel::Stable, "microsoft-edge"),
    (Edge, Channel::Beta, "microsoft-edge-beta"),
    (Edge, Channel::Dev, "microsoft-edge-dev"),
    (Firefox, Channel::Stable, "firefox"),
    (Firefox, Channel::Esr, "firefox-esr"),
    (Firefox, Channel::Beta, "firefox-beta"),
    (Firefox, Channel::Dev, "firefox-devedition"),
    (Firefox, Channel::Nightly, "firefox-nightly"),
    (Firefox, Channel::Nightly, "firefox-trunk"),
    (Chromium, Channel::Stable, "chromium"),
    (Chromium, Channel::Stable, "chromium-browser"),
];

/// Known places on Linux; a leading `~` is the user's home. Flatpak's and snap's entries are their
/// launchers, which [`wrapper`](super::wrapper) resolves.
const LINUX: &[(BrowserKind, Channel, &str)] = &[
    (Chrome, Channel::Stable, "/opt/google/chrome/chrome"),
    (Chrome, Channel::Beta, "/opt/google/chrome-beta/chrome"),
    (Chrome, Channel::Dev, "/opt/google/chrome-unstable/chrome"),
    (Chrome, Channel::Canary, "/opt/google/chrome-canary/chrome"),
    (Chrome, Channel::Stable, "/var/lib/flatpak/exports/bin/com.google.Chrome"),
    (Chrome, Channel::Stable, "~/.local/share/flatpak/exports/bin/com.google.Chrome"),
    (Edge, Channel::Stable, "/opt/microsoft/msedge/msedge"),
    (Edge, Channel::Beta, "/opt/microsoft/msedge-beta/msedge"),
    (Edge, Channel::Dev, "/opt/microsoft/msedge-dev/msedge"),
    (Edge, Channel::Stable, "/var/lib/flatpak/exports/bin/com.microsoft.Edge"),
    (Edge, Channel::Stable, "~/.local/share/flatpak/exports/bin/com.microsoft.Edge"),
    (Firefox, Channel::Stable, "/usr/lib/firefox/firefox"),
    (Firefox, Channel::Stable, "/usr/lib64/firefox/firefox"),
    (Firefox, Channel::Stable, "/opt/firefox/firefox"),
    (Firefox, Channel::Stable, "/snap/bin/firefox"),
    (Firefox, Channel::Esr, "/usr/lib/firefox-esr/firefox-esr"),
    (Firefox, Channel::Beta, "/opt/firefox-beta/firefox"),
    (Firefox, Channel::Dev, "/usr/lib/firefox-devedition/firefox"),
    (Firefox, Channel::Dev, "/opt/firefox-devedition/firefox"),
    (Firefox, Channel::Nightly, "/usr/lib/firefox-nightly/firefox"),
    (Firefox, Channel::Nightly, "/opt/firefox-nightly/firefox"),
    (Firefox, Channel::Nightly, "/usr/bin/firefox-trunk"),
    (Firefox, Channel::Stable, "/var/lib/flatpak/exports/bin/org.mozilla.firefox"),
    (Firefox, Channel::Stable, "~/.local/share/flatpak/exports/bin/org.mozilla.firefox"),
    (Chromium, Channel::Stable, "/usr/lib/chromium/chromium"),
    (Chromium, Channel::Stable, "/usr/lib/chromium-browser/chromium-browser"),
    (Chromium, Channel::Stable, "/usr/lib64/chromium-browser/chromium-browser"),
    (Chromium, Channel::Stable, "/snap/bin/chromium"),
    (Chromium, Channel::Stable, "/var/lib/flatpak/exports/bin/org.chromium.Chromium"),
    (Chromium, Channel::Stable, "~/.local/share/flatpak/exports/bin/org.chromium.Chromium"),
    (WebKitGtk, Channel::Stable, "/usr/lib/x86_64-linux-gnu/webkitgtk-6.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/aarch64-linux-gnu/webkitgtk-6.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/libexec/webkitgtk-6.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/libexec/webkit2gtk-4.1/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/libexec/webkit2gtk-4.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/webkitgtk-6.0/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/webkit2gtk-4.1/MiniBrowser"),
    (WebKitGtk, Channel::Stable, "/usr/lib/webkit2gtk-4.0/MiniBrowser"),
];

/// Applications on macOS (below `/Applications` and `~/Applications`) and the program inside.
const MACOS: &[(BrowserKind, Channel, &str, &str)] = &[
    (Chrome, Channel::Stable, "Google Chrome", "Google Chrome"),
    (Chrome, Channel::Beta, "Google Chrome Beta", "Google Chrome Beta"),
    (Chrome, Channel::Dev, "Google Chrome Dev", "Google Chrome Dev"),
    (Chrome, Channel::Canary, "Google Chrome Canary", "Google Chrome Canary"),
    (Edge, Channel::Stable, "Microsoft Edge", "Microsoft Edge"),
    (Edge, Channel::Beta, "Microsoft Edge Beta", "Microsoft Edge Beta"),
    (Edge, Channel::Dev, "Microsoft Edge Dev", "Microsoft Edge Dev"),
    (Edge, Channel::Canary, "Microsoft Edge Canary", "Microsoft Edge Canary"),
    (Firefox, Channel::Stable, "Firefox", "firefox"),
    (Firefox, Channel::Dev, "Firefox Developer Edition", "firefox"),
    (Firefox, Channel::Nightly, "Firefox Nightly", "firefox"),
    (Safari, Channel::Stable, "Safari", "Safari"),
    (Safari, Channel::Preview, "Safari Technology Preview", "Safari Technology Preview"),
    (Chromium, Channel::Stable, "Chromium", "Chromium"),
];

/// Programs on Windows, below each of [`WINDOWS_ROOTS`].
const WINDOWS: &[(BrowserKind, Channel, &str)] = &[
    (Chrome, Channel::Stable, r"Google\Chrome\Application\chrome.exe"),
    (Chrome, Channel::Beta, r"Google\Chrome Beta\Application\chrome.exe"),
    (Chrome, Channel::Dev, r"Google\Chrome Dev\Application\chrome.exe"),
    (Chrome, Channel::Canary, r"Google\Chrome SxS\Application\chrome.exe"),
    (Edge, Channel::Stable, r"Microsoft\Edge\Application\msedge.exe"),
    (Edge, Channel::Beta, r"Microsoft\Edge Beta\Application\msedge.exe"),
    (Edge, Channel::Dev, r"Microsoft\Edge Dev\Application\msedge.exe"),
    (Edge, Channel::Canary, r"Microsoft\Edge SxS\Application\msedge.exe"),
    (Firefox, Channel::Stable, r"Mozilla Firefox\firefox.exe"),
    (Firefox, Channel::Dev, r"Firefox Developer Edition\firefox.exe"),
    (Firefox, Channel::Nightly, r"Firefox Nightly\firefox.exe"),
    (Chromium, Channel::Stable, r"Chromium\Application\chrome.exe"),
];

/// System-wide installations first, then the user's own.
const WINDOWS_ROOTS: [&str; 3] = ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"];

/// Where drivers live besides the search path and the browser's own folder.
const LINUX_DRIVERS: &[(DriverKind, &str)] = &[
    (DriverKind::Chromedriver, "/usr/lib/chromium/chromedriver"),
    (DriverKind::Chromedriver, "/usr/lib/chromium-browser/chromedriver"),
    (DriverKind::Chromedriver, "/usr/lib64/chromium-browser/chromedriver"),
    (DriverKind::Chromedriver, "/snap/chromium/current/usr/lib/chromium-browser/chromedriver"),
    (DriverKind::Chromedriver, "/usr/local/bin/chromedriver"),
    (DriverKind::Msedgedriver, "/usr/local/bin/msedgedriver"),
    (DriverKind::Geckodriver, "/snap/firefox/current/usr/lib/firefox/geckodriver"),
    (DriverKind::Geckodriver, "/usr/local/bin/geckodriver"),
    (DriverKind::Geckodriver, "~/.cargo/bin/geckodriver"),
    // Where the project's own set-up puts it.
    (DriverKind::Geckodriver, "~/.cache/webmatrix/tools/cargo/bin/geckodriver"),
    (DriverKind::WebKitWebDriver, "/usr/bin/WebKitWebDriver"),
    (DriverKind::WebKitWebDriver, "/usr/lib/webkit2gtk-4.1/WebKitWebDriver"),
];

const MACOS_DRIVERS: &[(DriverKind, &str)] = &[
    (DriverKind::Chromedriver, "/opt/homebrew/bin/chromedriver"),
    (DriverKind::Chromedriver, "/usr/local/bin/chromedriver"),
    (DriverKind::Msedgedriver, "/opt/homebrew/bin/msedgedriver"),
    (DriverKind::Msedgedriver, "/usr/local/bin/msedgedriver"),
    (DriverKind::Geckodriver, "/opt/homebrew/bin/geckodriver"),
    (DriverKind::Geckodriver, "/usr/local/bin/geckodriver"),
    (DriverKind::Geckodriver, "~/.cargo/bin/geckodriver"),
    // Where the project's own set-up puts it.
    (DriverKind::Geckodriver, "~/Library/Caches/webmatrix/tools/cargo/bin/geckodriver"),
    (DriverKind::Safaridriver, "/usr/bin/safaridriver"),
];

const WINDOWS_DRIVERS: &[(DriverKind, &str)] = &[(DriverKind::Geckodriver, r"~\.cargo\bin\geckodriver.exe")];

/// The environment variable that names a kind's program.
pub(super) const fn browser_variable(kind: BrowserKind) -> &'static str {
    match kind {
        Chrome => "WEBMATRIX_CHROME",
        Edge => "WEBMATRIX_EDGE",
        Firefox => "WEBMATRIX_FIREFOX",
        Safari => "WEBMATRIX_SAFARI",
        Chromium => "WEBMATRIX_CHROMIUM",
        WebKitGtk => "WEBMATRIX_WEBKITGTK",
    }
}

/// The environment variable that names a driver.
pub(super) const fn driver_variable(kind: DriverKind) -> &'static str {
    match kind {
        DriverKind::Chromedriver => "WEBMATRIX_CHROMEDRIVER",
        DriverKind::Msedgedriver => "WEBMATRIX_MSEDGEDRIVER",
        DriverKind::Geckodriver => "WEBMATRIX_GECKODRIVER",
        DriverKind::Safaridriver => "WEBMATRIX_SAFARIDRIVER",
        DriverKind::WebKitWebDriver => "WEBMATRIX_WEBKITWEBDRIVER",
    }
}

/// Browser programs to look up on the search path.
pub(super) fn on_path(os: Os) -> &'static [(BrowserKind, Channel, &'static str)] {
    match os {
        Os::Linux => ON_PATH,
        Os::MacOs | Os::Windows => &[],
    }
}

/// Every known place for a browser on this host, there or not.
pub(super) fn browsers(host: &dyn Host) -> Vec<Place> {
    match host.os() {
        Os::Linux => {
            let place = |&(kind, channel, path): &(_, _, &str)| {
                Some(Place { kind, channel, path: at_home(host, path)? })
            };
            LINUX.iter().filter_map(place).collect()
        }
        Os::MacOs => ["/Applications", "~/Applications"]
            .into_iter()
            .filter_map(|root| at_home(host, root))
            .flat_map(|root| {
                MACOS.iter().map(move |&(kind, channel, app, program)| {
                    let path = format!("{}/{app}.app/Contents/MacOS/{program}", root.display());
                    Place { kind, channel, path: path.into() }
                })
            })
            .collect(),
        Os::Windows => WINDOWS_ROOTS
            .into_iter()
            .filter_map(|root| host.env(root))
            .flat_map(|root| {
                WINDOWS.iter().map(move |&(kind, channel, path)| Place {
                    kind,
                    channel,
                    path: format!(r"{root}\{path}").into(),
                })
            })
            .collect(),
    }
}

/// Known places for a driver on this host, there or not.
pub(super) fn drivers(host: &dyn Host, kind: DriverKind) -> Vec<PathBuf> {
    let table = match host.os() {
        Os::Linux => LINUX_DRIVERS,
        Os::MacOs => MACOS_DRIVERS,
        Os::Windows => WINDOWS_DRIVERS,
    };
    table.iter().filter(|(of, _)| *of == kind).filter_map(|(_, path)| at_home(host, path)).collect()
}

/// Replaces a leading `~` by the user's home; `None` where there is none.
fn at_home(host: &dyn Host, path: &str) -> Option<PathBuf> {
    match path.strip_prefix('~') {
        Some(rest) => Some(format!("{}{rest}", host.home()?.display()).into()),
        None => Some(path.into()),
    }
}
