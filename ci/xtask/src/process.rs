//! Running other programs, and showing a command exactly as a person would type it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` with its output on our terminal, as an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start {}", shown(command)))?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns what it printed, trimmed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("could not start {}", shown(command)))?;
    if !out.status.success() {
        bail!("{}: {}\n{}", out.status, shown(command), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8(out.stdout).context("output is not UTF-8")?.trim().to_owned())
}

/// Whether `command` succeeds; what it prints is nobody's business.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A command from its words, none of which may contain a space.
pub(crate) fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// Lets everybody read and run `file`, where systems ask for that.
#[cfg(unix)]
pub(crate) fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("could not make {} executable", file.display()))
}

#[cfg(not(unix))]
pub(crate) fn make_executable(_file: &Path) -> Result<()> {
    Ok(())
}

/// Puts `folder` in front of the `PATH` that `command` will see.
pub(crate) fn prepend_path(command: &mut Command, folder: &Path) -> Result<()> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&rest)))?;
    command.env("PATH", path);
    Ok(())
}

/// The line to type into a shell to do what `command` does, its environment included.
pub(crate) fn shown(command: &Command) -> String {
    let folder = command.get_current_dir().map(|dir| format!("cd {} &&", quoted(dir.as_os_str())));
    let env = command.get_envs().map(|(key, value)| match value {
        Some(value) => format!("{}={}", key.display(), set_to(key, value)),
        None => format!("-u {}", key.display()),
    });
    // Options of `env` come before assignments.
    let mut env: Vec<String> = env.collect();
    env.sort_by_key(|word| !word.starts_with("-u "));
    let env = (!env.is_empty()).then(|| format!("env {}", env.join(" ")));
    let program = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    folder.into_iter().chain(env).chain(program).collect::<Vec<_>>().join(" ")
}

/// The value of a variable. A `PATH` that ends with ours is shown without that: the shell it is typed into has its own.
fn set_to(key: &OsStr, value: &OsStr) -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    match value.to_str().and_then(|value| value.strip_suffix(&inherited)) {
        Some(added) if key == "PATH" && !added.is_empty() => {
            format!("{}\"$PATH\"", quoted(OsStr::new(added)))
        }
        _ => quoted(value),
    }
}

/// `word` as a POSIX shell would need it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = words("cargo install geckodriver");
        command.arg("two words").env("CARGO_HOME", "/a b").env_remove("RUSTC").current_dir("/tmp");
        assert_eq!(
            shown(&command),
            "cd /tmp && env -u RUSTC CARGO_HOME='/a b' cargo install geckodriver 'two words'"
        );
    }

    #[test]
    fn a_longer_path_is_shown_by_what_was_added() {
        let mut command = words("cargo fmt");
        prepend_path(&mut command, Path::new("/tools/bin")).unwrap();
        assert_eq!(shown(&command), r#"env PATH=/tools/bin:"$PATH" cargo fmt"#);
    }

    #[test]
    fn quotes_survive_quoting() {
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
        assert_eq!(quoted(OsStr::new("+simd128,+atomics")), "+simd128,+atomics");
    }
}
