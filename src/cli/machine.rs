//! Facts about this machine that results depend on.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::EnvValidation;
use crate::discover::Conditions;
use crate::error::{ExitStatus, Failure};

/// Name to value; what cannot be found out is left out.
pub(super) fn facts() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("os".to_owned(), std::env::consts::OS.to_owned()),
        ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
    ]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    add("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    add("cpu", line_of("/proc/cpuinfo", "model name"));
    add("memory", line_of("/proc/meminfo", "MemTotal"));
    add("system", line_of("/etc/os-release", "PRETTY_NAME").map(|name| name.trim_matches('"').to_owned()));
    add(
        "kernel",
        std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    );
    let (branch, commit) = checked_out();
    add("branch", branch);
    add("commit", commit);
    facts.extend(Conditions::here().facts());
    facts
}

/// What a person should know of the machine's conditions before times are taken.
///
/// # Errors
/// If they are required to be good and are not.
pub(super) fn validated(how: EnvValidation) -> Result<Vec<String>, Failure> {
    let concerns = if how == EnvValidation::Off { Vec::new() } else { Conditions::here().concerns() };
    if how == EnvValidation::Require && !concerns.is_empty() {
        let text = format!(
            "nothing was run, because --env-validation require wants a quiet machine: {}",
            concerns.join("; ")
        );
        return Err(Failure::text(ExitStatus::TooLittleEvidence, text));
    }
    Ok(concerns
        .into_iter()
        .map(|concern| format!("times may say less than they seem to: {concern}"))
        .collect())
}

/// The branch and the commit that are checked out where the program runs, as git's own files tell them; a pull request's
/// are what its runner says.
fn checked_out() -> (Option<String>, Option<String>) {
    let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let read = |file: &Path| std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    let found = || {
        let here = std::env::current_dir().ok()?;
        let git = here.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
        // Of a worktree, a file says where the folder is.
        let Some(text) = read(&git).filter(|_| git.is_file()) else { return Some(git) };
        Some(git.parent()?.join(text.strip_prefix("gitdir: ")?))
    };
    let Some(folder) = found() else { return (told("WEBMATRIX_BRANCH"), None) };
    let head = read(&folder.join("HEAD")).unwrap_or_default();
    let Some(name) = head.strip_prefix("ref: ") else {
        let branch = ["WEBMATRIX_BRANCH", "GITHUB_HEAD_REF", "GITHUB_REF_NAME"].into_iter().find_map(told);
        return (branch, Some(head).filter(|commit| !commit.is_empty()));
    };
    let common = read(&folder.join("commondir")).map_or_else(|| folder.clone(), |path| folder.join(path));
    let packed = || {
        let refs = read(&common.join("packed-refs"))?;
        refs.lines().find_map(|line| Some(line.strip_suffix(name)?.trim().to_owned()))
    };
    let commit = read(&common.join(name)).or_else(packed);
    let branch = told("WEBMATRIX_BRANCH").or_else(|| name.strip_prefix("refs/heads/").map(str::to_owned));
    (branch, commit)
}

/// The value of the first `key: value` or `key=value` line of a file.
fn line_of(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once([':', '='])?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}
