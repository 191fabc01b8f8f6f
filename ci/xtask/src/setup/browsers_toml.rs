//! The user's list of browsers that discovery cannot find by itself: `browsers.toml` in the configuration folder of
//! `webmatrix`. The file is the user's: everything else in it, comments included, stays as it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::say::say;

/// Enters the Chromium at `binary` as `label`, unless an entry of that name already leads to a browser.
pub(super) fn register(label: &str, binary: &Path, driver: Option<&Path>) -> Result<()> {
    let file = config_dir()?.join("browsers.toml");
    let before = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", file.display())),
    };
    let after = merged(&before, label, binary, driver).with_context(|| format!("in {}", file.display()))?;
    if after == before {
        return Ok(());
    }
    say(format!("setup: browser `{label}` entered into {}", file.display()));
    fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
    fs::write(&file, after).with_context(|| format!("could not write {}", file.display()))
}

/// `text` with the entry in it.
fn merged(text: &str, label: &str, binary: &Path, driver: Option<&Path>) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let browsers = document.entry("browsers").or_insert_with(implicit_table);
    let browsers = browsers.as_table_like_mut().context("`browsers` is not a table")?;
    let path = browsers.get(label).and_then(|entry| entry.get("path")).and_then(Item::as_str);
    if path.is_some_and(|path| Path::new(path).is_file()) {
        return Ok(text.to_owned());
    }
    let entry = browsers.entry(label).or_insert_with(|| Item::Table(Table::new()));
    let entry = entry.as_table_like_mut().with_context(|| format!("`browsers.{label}` is not a table"))?;
    entry.insert("kind", value("chromium"));
    entry.insert("path", value(utf8(binary)?));
    if let Some(driver) = driver {
        entry.insert("driver", value(utf8(driver)?));
        // The driver belongs to the system's Chromium, which is of another build.
        entry.insert("driver_args", value(Array::from_iter(["--disable-build-check"])));
    }
    Ok(document.to_string())
}

/// A table that shows only through its children's headers.
fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn config_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("WEBMATRIX_CONFIG_DIR") {
        return Ok(dir.into());
    }
    let dirs = directories::ProjectDirs::from("", "", "webmatrix")
        .context("no home folder: set WEBMATRIX_CONFIG_DIR")?;
    Ok(dirs.config_dir().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[browsers.chromium-webnn]\nkind = \"chromium\"\npath = \"/x/chromium\"\n\
        driver = \"/usr/bin/chromedriver\"\ndriver_args = [\"--disable-build-check\"]\n";

    fn merged_into(text: &str) -> String {
        let driver = Path::new("/usr/bin/chromedriver");
        merged(text, "chromium-webnn", Path::new("/x/chromium"), Some(driver)).unwrap()
    }

    #[test]
    fn an_empty_file_gets_the_entry() {
        assert_eq!(merged_into(""), ENTRY);
    }

    #[test]
    fn what_the_user_wrote_stays() {
        let mine = "# mine\n[browsers.old]\nkind = \"firefox\" # keep\npath = \"/f\"\n";
        let merged = merged_into(mine);
        assert!(merged.starts_with(mine), "{merged}");
        assert!(merged.ends_with(ENTRY), "{merged}");
    }

    #[test]
    fn an_entry_that_leads_nowhere_is_put_right_and_a_working_one_is_kept() {
        let stale = ENTRY.replace("/x/chromium", "/gone/chromium");
        assert_eq!(merged_into(&stale), ENTRY);
        let file = tempfile::NamedTempFile::new().unwrap();
        let working = ENTRY.replace("/x/chromium", file.path().to_str().unwrap());
        assert_eq!(merged_into(&working), working);
    }

    #[test]
    fn a_broken_file_is_an_error_not_a_new_file() {
        assert!(merged("[browsers", "l", Path::new("/x"), None).is_err());
    }
}
