//! Browsers the user told us about: the `--browser-path` flag and the file `browsers.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::discover::host::Host;
use crate::plan::axis::{BrowserKind, UnknownBrowserKind};

/// A browser given on the command line: `LABEL=KIND:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserPath {
    /// What to call it.
    pub label: String,
    /// What it is.
    pub kind: BrowserKind,
    /// Where it is.
    pub path: PathBuf,
}

impl FromStr for BrowserPath {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || UserError::Shape(text.to_owned());
        let (label, rest) = text.split_once('=').ok_or_else(shape)?;
        let (kind, path) = rest.split_once(':').ok_or_else(shape)?;
        if path.is_empty() {
            return Err(shape());
        }
        Ok(Self { label: valid_label(label)?.to_owned(), kind: kind.parse()?, path: path.into() })
    }
}

/// A browser kept in the user's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserBrowser {
    /// What it is.
    #[serde(deserialize_with = "kind")]
    pub kind: BrowserKind,
    /// Where it is.
    pub path: PathBuf,
    /// Its driver, when the one found on this machine is not the right one.
    pub driver: Option<PathBuf>,
    /// Further arguments for the driver (`--disable-build-check`).
    #[serde(default)]
    pub driver_args: Vec<String>,
}

/// Kinds are read by the one parser that also serves the command line, so that both name the choices.
fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BrowserKind, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// The user's `browsers.toml`, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserBrowsers {
    browsers: BTreeMap<String, UserBrowser>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    browsers: BTreeMap<String, UserBrowser>,
}

impl UserBrowsers {
    /// The file's place: `WEBMATRIX_CONFIG_DIR`, or the system's folder for a program's configuration.
    pub fn file(host: &dyn Host) -> Option<PathBuf> {
        let folder = match host.env("WEBMATRIX_CONFIG_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => directories::ProjectDirs::from("", "", "webmatrix")?.config_dir().to_owned(),
        };
        Some(folder.join("browsers.toml"))
    }

    /// Reads the file; one that is not there holds no browsers.
    ///
    /// # Errors
    /// When it cannot be read, or does not say what it should (with line and column).
    pub fn load(file: &Path) -> Result<Self, UserError> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(UserError::Io { file: file.to_owned(), source }),
        }
    }

    fn parse(file: &Path, text: &str) -> Result<Self, UserError> {
        let parsed: File = toml::from_str(text)
            .map_err(|source| UserError::Content { file: file.to_owned(), source: Box::new(source) })?;
        for label in parsed.browsers.keys() {
            valid_label(label)?;
        }
        Ok(Self { browsers: parsed.browsers })
    }

    /// The browsers by label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &UserBrowser)> {
        self.browsers.iter().map(|(label, browser)| (label.as_str(), browser))
    }

    /// Writes a browser into the file, in place of one of the same label; comments stay.
    ///
    /// # Errors
    /// When the label is not one, or the file cannot be read, understood or written.
    pub fn add(file: &Path, label: &str, browser: &UserBrowser) -> Result<(), UserError> {
        let label = valid_label(label)?;
        Self::edit(file, |document| {
            let mut table = toml_edit::Table::new();
            table["kind"] = toml_edit::value(browser.kind.as_str());
            table["path"] = toml_edit::value(browser.path.to_string_lossy().as_ref());
            if let Some(driver) = &browser.driver {
                table["driver"] = toml_edit::value(driver.to_string_lossy().as_ref());
            }
            if !browser.driver_args.is_empty() {
                let args: toml_edit::Array = browser.driver_args.iter().collect();
                table["driver_args"] = toml_edit::value(args);
            }
            browsers_table(document).insert(label, toml_edit::Item::Table(table));
            Ok(())
        })
    }

    /// Takes a browser out of the file.
    ///
    /// # Errors
    /// When there is none of this label, or the file cannot be read, understood or written.
    pub fn remove(file: &Path, label: &str) -> Result<(), UserError> {
        Self::edit(file, |document| {
            let removed = browsers_table(document).remove(label);
            removed
                .map(drop)
                .ok_or_else(|| UserError::Absent { label: label.to_owned(), file: file.to_owned() })
        })
    }

    /// Changes the file's text and writes it whole, so that a reader sees the old or the new one.
    fn edit(
        file: &Path,
        change: impl FnOnce(&mut toml_edit::DocumentMut) -> Result<(), UserError>,
    ) -> Result<(), UserError> {
        let io = |source| UserError::Io { file: file.to_owned(), source };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(io(source)),
        };
        // What we cannot read we do not rewrite.
        Self::parse(file, &text)?;
        let mut document: toml_edit::DocumentMut = text
            .parse()
            .map_err(|source| UserError::Edit { file: file.to_owned(), source: Box::new(source) })?;
        change(&mut document)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut fresh = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        std::io::Write::write_all(&mut fresh, document.to_string().as_bytes()).map_err(io)?;
        fresh.persist(file).map_err(|error| io(error.error))?;
        Ok(())
    }
}

/// `[browsers.…]`, made if it is not there and without a header of its own.
fn browsers_table(document: &mut toml_edit::DocumentMut) -> &mut dyn toml_edit::TableLike {
    let item = document.entry("browsers").or_insert_with(|| {
        let mut table = toml_edit::Table::new();
        table.set_implicit(true);
        toml_edit::Item::Table(table)
    });
    // `parse` has seen that it is a table, written in either way.
    if !item.is_table_like() {
        *item = toml_edit::Item::Table(toml_edit::Table::new());
    }
    item.as_table_like_mut().unwrap_or_else(|| unreachable!("just made a table"))
}

/// Labels stand in cell ids, so they hold nothing that an id or a shell would split on.
fn valid_label(label: &str) -> Result<&str, UserError> {
    let fine = !label.is_empty()
        && label != "all"
        && label
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if fine { Ok(label) } else { Err(UserError::Label(label.to_owned())) }
}

/// What can be wrong with what the user says about browsers.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// `--browser-path` is not `LABEL=KIND:PATH`.
    #[error("{0:?} is not LABEL=KIND:PATH, for example chromium-webnn=chromium:/opt/chromium/chrome")]
    Shape(String),
    /// A label that could not stand in a cell's id.
    #[error("{0:?} is no label: use lower-case letters, digits, '-', '_' and '.', and not the word all")]
    Label(String),
    /// The kind in it does not exist.
    #[error(transparent)]
    Kind(#[from] UnknownBrowserKind),
    /// The file cannot be read or written.
    #[error("cannot use {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it should.
    #[error("{} is not understood", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file cannot be changed in place.
    #[error("{} cannot be edited", file.display())]
    Edit {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: Box<toml_edit::TomlError>,
    },
    /// There is no browser of this label to remove.
    #[error("no browser {label:?} in {}", file.display())]
    Absent {
        /// What was asked for.
        label: String,
        /// The file.
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_label_kind_and_path() {
        let flag: BrowserPath = "chromium-webnn=chromium:/opt/a=b:c/chrome".parse().expect("fits the shape");
        assert_eq!(flag.label, "chromium-webnn");
        assert_eq!(flag.kind, BrowserKind::Chromium);
        assert_eq!(flag.path, Path::new("/opt/a=b:c/chrome"));
        for wrong in
            ["chromium", "a=chromium", "a=chromium:", "a=netscape:/x", "A b=chromium:/x", "all=chrome:/x"]
        {
            assert!(wrong.parse::<BrowserPath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn adding_and_removing_keeps_what_the_user_wrote() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("deep/browsers.toml");
        let browser = UserBrowser {
            kind: BrowserKind::Chromium,
            path: "/opt/shell".into(),
            driver: None,
            driver_args: vec!["--disable-build-check".into()],
        };
        UserBrowsers::add(&file, "chromium-webnn", &browser).expect("added to no file");
        let text = std::fs::read_to_string(&file).expect("written");
        insta::assert_snapshot!(text, @r#"
        [browsers.chromium-webnn]
        kind = "chromium"
        path = "/opt/shell"
        driver_args = ["--disable-build-check"]
        "#);

        std::fs::write(&file, text.replace("shell\"", "shell\" # mine")).expect("edited by hand");
        let other = UserBrowser { driver: Some("/d".into()), driver_args: vec![], ..browser.clone() };
        UserBrowsers::add(&file, "other", &other).expect("added beside");
        UserBrowsers::add(&file, "other", &other).expect("added again, in place");
        UserBrowsers::remove(&file, "other").expect("removed");
        assert!(matches!(UserBrowsers::remove(&file, "other"), Err(UserError::Absent { .. })));

        assert!(std::fs::read_to_string(&file).expect("still there").contains("# mine"));
        let loaded = UserBrowsers::load(&file).expect("readable");
        assert_eq!(loaded.iter().collect::<Vec<_>>(), [("chromium-webnn", &browser)]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let text = "[browsers.x]\nkind = \"chromium\"\npath = \"/x\"\ncolour = \"red\"\n";
        let error = UserBrowsers::parse(Path::new("browsers.toml"), text).expect_err("unknown key");
        let cause = std::error::Error::source(&error).expect("the place").to_string();
        assert!(cause.contains("line 4") && cause.contains("colour"), "{cause}");

        let text = "[browsers.x]\nkind = \"netscape\"\npath = \"/x\"\n";
        let error = UserBrowsers::parse(Path::new("browsers.toml"), text).expect_err("unknown kind");
        let cause = std::error::Error::source(&error).expect("the place").to_string();
        assert!(cause.contains("use chrome, edge, firefox"), "{cause}");
    }
}
