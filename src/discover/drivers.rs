//! The WebDriver program for a browser: where it is, whether it fits, what to install otherwise.

use std::path::{Path, PathBuf};

use crate::discover::host::{Host, Os};
use crate::discover::{Driver, DriverKind, Problem, Severity, Version, places};
use crate::plan::axis::BrowserKind;

/// geckodriver learnt `--websocket-port` in 0.30, and is always started with it.
const OLDEST_GECKODRIVER: &str = "0.30.0";

/// A browser that needs a driver.
pub(super) struct Wanted<'a> {
    pub(super) kind: BrowserKind,
    pub(super) path: &'a Path,
    pub(super) version: Option<&'a Version>,
    /// The driver the user wrote down for this very browser: nothing else is considered.
    pub(super) given: Option<&'a Path>,
    /// Arguments the user wants the driver started with.
    pub(super) args: &'a [String],
}

/// Finds the driver that fits best, and says what is wrong with it.
pub(super) fn find(host: &dyn Host, wanted: &Wanted<'_>) -> (Option<Driver>, Vec<Problem>) {
    let kind = DriverKind::of(wanted.kind);
    let candidates = match wanted.given {
        Some(path) => vec![path.to_owned()],
        None => candidates(host, kind, wanted),
    };
    let found = candidates
        .into_iter()
        .filter(|path| host.is_file(path))
        .map(|path| {
            let version = version(host, kind, &path);
            let driver = Driver { kind, path: host.canonical(&path), version, args: wanted.args.to_vec() };
            let problem = mismatch(host.os(), wanted, &driver);
            (driver, problem)
        })
        // The least bad one; among equals the first, for that is the one the user put first.
        .min_by_key(|(_, problem)| problem.as_ref().map(|problem| problem.severity));
    let Some((driver, problem)) = found else {
        let variable = places::driver_variable(kind);
        let text = match (wanted.given, host.env(variable)) {
            (Some(path), _) => format!("the driver {} does not exist", path.display()),
            (None, Some(path)) => format!("{variable} names {path}, which does not exist"),
            (None, None) => format!("{kind} was not found"),
        };
        return (None, vec![Problem::error(text, install(host.os(), wanted))]);
    };
    let mut problems: Vec<Problem> = problem.into_iter().collect();
    problems.extend(conditions(host, wanted.kind));
    (Some(driver), problems)
}

/// Every place where the driver may be: the environment, beside the browser, the search path, the table.
fn candidates(host: &dyn Host, kind: DriverKind, wanted: &Wanted<'_>) -> Vec<PathBuf> {
    if let Some(path) = host.env(places::driver_variable(kind)) {
        return vec![path.into()];
    }
    let beside = wanted.path.to_str().and_then(|path| {
        let separator = host.os().separator();
        let (folder, _) = path.rsplit_once(separator)?;
        let suffix = if host.os() == Os::Windows { ".exe" } else { "" };
        Some(PathBuf::from(format!("{folder}{separator}{}{suffix}", kind.program())))
    });
    let mut all: Vec<PathBuf> = beside.into_iter().chain(host.which(kind.program())).collect();
    all.extend(places::drivers(host, kind));
    let mut seen = Vec::new();
    all.retain(|path| {
        let canonical = host.canonical(path);
        let new = !seen.contains(&canonical);
        seen.push(canonical);
        new
    });
    all
}

fn version(host: &dyn Host, kind: DriverKind, path: &Path) -> Option<Version> {
    match kind {
        // It has no such option, and would start serving.
        DriverKind::WebKitWebDriver => None,
        _ => Version::find(&host.version_output(path).ok()?),
    }
}

/// What is wrong between a browser and this driver, if anything.
fn mismatch(os: Os, wanted: &Wanted<'_>, driver: &Driver) -> Option<Problem> {
    if driver.kind == DriverKind::WebKitWebDriver {
        return None;
    }
    let Some(have) = &driver.version else {
        let text = format!("{} does not tell its version", driver.path.display());
        return Some(Problem::new(Severity::Warning, text, install(os, wanted)));
    };
    match driver.kind {
        DriverKind::Geckodriver => {
            let oldest = Version::parse(OLDEST_GECKODRIVER)?;
            (*have < oldest).then(|| {
                let text = format!("geckodriver {have} is older than {oldest}");
                Problem::error(text, install(os, wanted))
            })
        }
        _ => {
            let need = wanted.version?;
            if have.same_build(need) {
                return None;
            }
            // `--disable-build-check` is the user's word that this pair works.
            let vouched = wanted.args.iter().any(|arg| arg == "--disable-build-check");
            let tolerated = have.major() == need.major() && driver.kind != DriverKind::Msedgedriver;
            let severity = match (vouched, tolerated) {
                (true, _) => Severity::Note,
                (false, true) => Severity::Warning,
                (false, false) => Severity::Error,
            };
            let text = format!("{} {have} does not match {} {need}", driver.kind, wanted.kind);
            Some(Problem::new(severity, text, install(os, wanted)))
        }
    }
}

/// What a fitting driver still needs from the machine.
fn conditions(host: &dyn Host, kind: BrowserKind) -> Option<Problem> {
    match kind {
        BrowserKind::WebKitGtk if host.env("DISPLAY").is_none() && host.which("Xvfb").is_none() => {
            Some(Problem::error("MiniBrowser needs a display, and Xvfb was not found", "apt install xvfb"))
        }
        BrowserKind::Safari => Some(Problem::new(
            Severity::Note,
            "Safari answers WebDriver only once remote automation was allowed",
            "run `safaridriver --enable` once",
        )),
        _ => None,
    }
}

/// The exact thing to install so that this browser can be driven.
fn install(os: Os, wanted: &Wanted<'_>) -> String {
    let version = wanted.version.map(ToString::to_string);
    let fitting = version.as_deref().unwrap_or("stable");
    match (wanted.kind, os) {
        (BrowserKind::Chromium, Os::Linux) => {
            "apt install chromium-driver, or set WEBMATRIX_CHROMEDRIVER to a chromedriver of this version"
                .to_owned()
        }
        (BrowserKind::Chrome | BrowserKind::Chromium, _) => format!(
            "npx @puppeteer/browsers install chromedriver@{fitting}, and set WEBMATRIX_CHROMEDRIVER to it"
        ),
        (BrowserKind::Edge, Os::Windows) => {
            format!("winget install Microsoft.EdgeDriver (version {fitting})")
        }
        (BrowserKind::Edge, _) => {
            format!("install Microsoft Edge WebDriver {fitting}, and set WEBMATRIX_MSEDGEDRIVER to it")
        }
        (BrowserKind::Firefox, Os::MacOs) => "brew install geckodriver".to_owned(),
        (BrowserKind::Firefox, Os::Windows) => "winget install Mozilla.GeckoDriver".to_owned(),
        (BrowserKind::Firefox, Os::Linux) => "cargo install geckodriver".to_owned(),
        (BrowserKind::Safari, _) => {
            "safaridriver comes with macOS (and inside Safari Technology Preview): reinstall it".to_owned()
        }
        (BrowserKind::WebKitGtk, _) => "apt install webkit2gtk-driver xvfb".to_owned(),
    }
}
