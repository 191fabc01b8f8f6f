//! Launchers are not browsers: finds the program behind a script, a snap or a flatpak.
//!
//! A launcher adds flags of its own (Debian's Chromium adds seven), may run the browser in a
//! container that hides the profile directory, and hides that two labels are one program.

use std::path::{Path, PathBuf};

use crate::discover::host::{Host, Os};
use crate::plan::axis::BrowserKind;

/// The largest launcher script that is read; Debian's Chromium has 5 KB.
const SCRIPT_LIMIT: u64 = 64 << 10;

/// A program and the packaging it was taken out of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwrapped {
    /// The program, links resolved.
    pub(super) path: PathBuf,
    /// `snap` or `flatpak` when it is started outside of that container.
    pub(super) container: Option<&'static str>,
}

/// Follows launchers to the program. What cannot be followed stays as it is: it will still run.
pub(super) fn unwrap(host: &dyn Host, kind: BrowserKind, path: &Path) -> Unwrapped {
    if host.os() != Os::Linux {
        return Unwrapped { path: host.canonical(path), container: None };
    }
    if let Some(program) = behind_flatpak(host, path) {
        return Unwrapped { path: program, container: Some("flatpak") };
    }
    if let Some(program) = behind_snap(host, path) {
        return Unwrapped { path: program, container: Some("snap") };
    }
    let path = host.canonical(path);
    let script = host.read(&path, SCRIPT_LIMIT).filter(|bytes| bytes.starts_with(b"#!"));
    let Some(script) = script else { return Unwrapped { path, container: None } };
    let script = String::from_utf8_lossy(&script);
    // Ubuntu's `/usr/bin/firefox` and `/usr/bin/chromium-browser` only start the snap.
    if let Some(program) = words(&script).find_map(|word| behind_snap(host, Path::new(word))) {
        return Unwrapped { path: program, container: Some("snap") };
    }
    let program = behind_script(host, kind, &path, &script).map(|program| host.canonical(&program));
    Unwrapped { path: program.unwrap_or(path), container: None }
}

/// `/snap/bin/firefox`, or any link to `/usr/bin/snap` of that name.
fn behind_snap(host: &dyn Host, path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let is_snap = path.parent() == Some(Path::new("/snap/bin"))
        || host.canonical(path).file_name().is_some_and(|target| target == "snap");
    if !is_snap {
        return None;
    }
    let program = match name {
        "firefox" => "/snap/firefox/current/usr/lib/firefox/firefox",
        "chromium" | "chromium-browser" => "/snap/chromium/current/usr/lib/chromium-browser/chrome",
        _ => return None,
    };
    existing(host, program.into())
}

/// `…/flatpak/exports/bin/<id>`.
fn behind_flatpak(host: &dyn Host, path: &Path) -> Option<PathBuf> {
    let (root, id) = path.to_str()?.split_once("/exports/bin/")?;
    let inside = match id {
        "com.google.Chrome" => "extra/chrome",
        "com.microsoft.Edge" => "extra/msedge",
        "org.chromium.Chromium" => "chromium/chrome",
        "org.mozilla.firefox" => "lib/firefox/firefox",
        _ => return None,
    };
    existing(host, format!("{root}/app/{id}/current/active/files/{inside}").into())
}

/// A vendor's shell script: the program lies beside it, is named in it, or has a folder of the
/// script's name below `/usr/lib`.
fn behind_script(host: &dyn Host, kind: BrowserKind, path: &Path, script: &str) -> Option<PathBuf> {
    let programs: &[&str] = match kind {
        BrowserKind::Chrome => &["chrome"],
        BrowserKind::Edge => &["msedge"],
        BrowserKind::Chromium => &["chromium", "chromium-browser", "chrome"],
        BrowserKind::Firefox => &["firefox", "firefox-esr", "firefox-bin"],
        BrowserKind::Safari | BrowserKind::WebKitGtk => &[],
    };
    let folder = path.parent()?;
    let name = path.file_name()?.to_str()?;
    let beside = programs.iter().map(|program| folder.join(program));
    let named = words(script).map(PathBuf::from).filter(|candidate| {
        candidate.file_name().and_then(|name| name.to_str()).is_some_and(|name| programs.contains(&name))
    });
    let library = ["/usr/lib", "/usr/lib64"].into_iter().flat_map(|root| {
        programs.iter().map(move |program| PathBuf::from(format!("{root}/{name}/{program}")))
    });
    beside
        .chain(named)
        .chain(library)
        .filter(|candidate| candidate != path)
        .find_map(|candidate| existing(host, candidate).filter(|file| !is_script(host, file)))
}

/// The absolute paths that a script mentions.
fn words(script: &str) -> impl Iterator<Item = &str> {
    script
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ';' | '(' | ')'))
        .filter(|word| word.starts_with('/'))
}

fn is_script(host: &dyn Host, path: &Path) -> bool {
    host.read(path, 2).is_some_and(|bytes| bytes.starts_with(b"#!"))
}

fn existing(host: &dyn Host, path: PathBuf) -> Option<PathBuf> {
    host.is_file(&path).then(|| host.canonical(&path))
}
