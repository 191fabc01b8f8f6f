//! A browser's version and channel, read from the program without opening a window.

use std::path::{Path, PathBuf};

use crate::discover::host::{Host, Os};
use crate::discover::{Channel, Problem, Severity, Version};
use crate::plan::axis::BrowserKind;

/// What a program says about itself.
#[derive(Debug, Default)]
pub(super) struct Probed {
    pub(super) version: Option<Version>,
    /// The channel, where the program tells it.
    pub(super) channel: Option<Channel>,
    pub(super) problem: Option<Problem>,
}

/// Larger than any launcher `.exe` whose resources are searched.
const PE_LIMIT: u64 = 32 << 20;
/// Larger than any `Info.plist`, `application.ini` or package list.
const TEXT_LIMIT: u64 = 32 << 20;

/// Asks the program at `path`.
pub(super) fn probe(host: &dyn Host, kind: BrowserKind, path: &Path) -> Probed {
    match (host.os(), kind) {
        (_, BrowserKind::WebKitGtk) => {
            // MiniBrowser tells its version only on a display; the package database needs none, and
            // elsewhere the session tells.
            Probed { version: debian_package(host, "webkit2gtk-driver"), ..Probed::default() }
        }
        (Os::Linux, _) => by_asking(host, kind, path),
        (Os::MacOs, _) => silent(bundle_version(host, path), path),
        (Os::Windows, BrowserKind::Firefox) => silent(application_ini(host, path), path),
        (Os::Windows, _) => silent(host.read(path, PE_LIMIT).as_deref().and_then(pe_file_version), path),
    }
}

/// `program --version`; Firefox's `application.ini` where that fails (a machine without its libraries
/// still learns which one it has).
fn by_asking(host: &dyn Host, kind: BrowserKind, path: &Path) -> Probed {
    let why = match host.version_output(path) {
        Ok(output) => match Version::find(&output) {
            Some(version) => {
                let channel = Channel::told_by(&output, &version);
                return Probed { version: Some(version), channel, problem: None };
            }
            None => "printed no version".to_owned(),
        },
        Err(why) => why,
    };
    let version = if kind == BrowserKind::Firefox { application_ini(host, path) } else { None };
    let problem = Problem::new(
        Severity::Warning,
        format!("{} --version {why}", path.display()),
        "run it by hand and install what it says is missing",
    );
    Probed { version, channel: None, problem: Some(problem) }
}

/// The result of a probe that runs nothing.
fn silent(version: Option<Version>, path: &Path) -> Probed {
    let problem = version.is_none().then(|| {
        Problem::new(
            Severity::Warning,
            format!("no version could be read from {}", path.display()),
            "reinstall the browser if it does not start",
        )
    });
    Probed { version, channel: None, problem }
}

/// `CFBundleShortVersionString` of the application that `…/X.app/Contents/MacOS/X` belongs to.
fn bundle_version(host: &dyn Host, path: &Path) -> Option<Version> {
    let contents = path.parent()?.parent()?;
    let bytes = host.read(&contents.join("Info.plist"), TEXT_LIMIT)?;
    let plist = plist::Value::from_reader(std::io::Cursor::new(bytes)).ok()?;
    let text = plist.as_dictionary()?.get("CFBundleShortVersionString")?.as_string()?;
    Version::parse(text).or_else(|| Version::find(text))
}

/// `Version=` of the `application.ini` beside Firefox.
fn application_ini(host: &dyn Host, path: &Path) -> Option<Version> {
    let path = path.to_str()?;
    let (folder, _) = path.rsplit_once(host.os().separator())?;
    let ini = PathBuf::from(format!("{folder}{}application.ini", host.os().separator()));
    let text = String::from_utf8(host.read(&ini, TEXT_LIMIT)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Version=")).and_then(|text| Version::parse(text.trim()))
}

/// The version of an installed Debian package, without epoch and revision.
fn debian_package(host: &dyn Host, package: &str) -> Option<Version> {
    let status = host.read(Path::new("/var/lib/dpkg/status"), TEXT_LIMIT)?;
    let status = String::from_utf8_lossy(&status);
    let name = format!("Package: {package}");
    let entry = status.split("\n\n").find(|entry| entry.lines().next() == Some(&name))?;
    let version = entry.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    Version::parse(version.split_once('-').map_or(version, |(upstream, _)| upstream))
}

/// The file version in a Windows program's `VS_FIXEDFILEINFO`.
///
/// The structure is found by its signature and version rather than through the resource tree: the
/// pair of 32-bit constants is what Windows itself checks, and it stands once in a program.
fn pe_file_version(bytes: &[u8]) -> Option<Version> {
    const SIGNATURE_AND_VERSION: [u8; 8] = [0xBD, 0x04, 0xEF, 0xFE, 0x00, 0x00, 0x01, 0x00];
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    let at = bytes.windows(8).position(|window| window == SIGNATURE_AND_VERSION)?;
    let half = |offset: usize| {
        let start = at + 8 + offset;
        Some(u16::from_le_bytes(bytes.get(start..start + 2)?.try_into().ok()?))
    };
    // Two little-endian words, each with its more significant half last.
    Version::parse(&format!("{}.{}.{}.{}", half(2)?, half(0)?, half(6)?, half(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::fake::FakeHost;

    fn version_of(host: &FakeHost, kind: BrowserKind, path: &str) -> Option<String> {
        probe(host, kind, Path::new(path)).version.map(|version| version.to_string())
    }

    #[test]
    fn windows_programs_carry_their_version() {
        let mut program = b"MZ and much code".to_vec();
        program.extend([0xBD, 0x04, 0xEF, 0xFE, 0, 0, 1, 0]);
        for half in [0_u16, 150, 10, 4000] {
            program.extend(half.to_le_bytes());
        }
        assert_eq!(pe_file_version(&program).map(|v| v.to_string()).as_deref(), Some("150.0.4000.10"));
        assert_eq!(pe_file_version(&program[..30]), None);
        assert_eq!(pe_file_version(b"\x7fELF"), None);
    }

    #[test]
    fn firefox_on_windows_is_read_from_its_ini() {
        let host = FakeHost::new(Os::Windows)
            .file(r"C:\F\firefox.exe", "MZ")
            .file(r"C:\F\application.ini", "[App]\r\nName=Firefox\r\nVersion=151.0.1\r\n");
        assert_eq!(version_of(&host, BrowserKind::Firefox, r"C:\F\firefox.exe").as_deref(), Some("151.0.1"));
    }

    #[test]
    fn applications_on_macos_are_read_from_their_plist() {
        let plist = r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>
            <key>CFBundleShortVersionString</key><string>26.0</string></dict></plist>"#;
        let host = FakeHost::new(Os::MacOs).file("/Applications/Safari.app/Contents/Info.plist", plist);
        let program = "/Applications/Safari.app/Contents/MacOS/Safari";
        assert_eq!(version_of(&host, BrowserKind::Safari, program).as_deref(), Some("26.0"));
    }

    #[test]
    fn webkitgtk_is_read_from_the_package_database() {
        let status = "Package: aaa\nVersion: 1.0-1\n\nPackage: webkit2gtk-driver\nStatus: install ok\n\
                      Version: 1:2.50.6-1~deb12u2\n\nPackage: z\nVersion: 3\n";
        let host = FakeHost::new(Os::Linux).file("/var/lib/dpkg/status", status);
        assert_eq!(version_of(&host, BrowserKind::WebKitGtk, "/x/MiniBrowser").as_deref(), Some("2.50.6"));
    }

    #[test]
    fn a_firefox_that_does_not_start_still_has_a_version_and_says_so() {
        let host = FakeHost::new(Os::Linux)
            .file("/opt/firefox/firefox", "")
            .file("/opt/firefox/application.ini", "[App]\nVersion=150.0\n");
        let probed = probe(&host, BrowserKind::Firefox, Path::new("/opt/firefox/firefox"));
        assert_eq!(probed.version.map(|version| version.to_string()).as_deref(), Some("150.0"));
        assert!(probed.problem.is_some_and(|problem| problem.severity == Severity::Warning));
    }
}
