//! The subjects: ONNX models with weights, inputs and outputs, made by `ci/peer` with a Python of their own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process;
use crate::say::say;
use crate::workspace::Workspace;

const SCRIPTS: [&str; 3] = ["models.py", "ops.py", "subjects.py"];
const REQUIREMENTS: &str = "requirements.txt";

/// Makes what is missing or was made by other scripts; returns the folder of the subjects.
pub(super) fn bring(ws: &Workspace) -> Result<PathBuf> {
    let (scripts, peer) = (ws.root.join("ci").join("peer"), ws.tools.join("peer"));
    fs::create_dir_all(&peer).with_context(|| format!("could not make {}", peer.display()))?;
    let (venv, subjects) = (peer.join("venv"), peer.join("subjects"));
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });

    let hash = |names: &[&str]| -> Result<String> {
        let mut hash = Sha256::new();
        for name in names {
            let path = scripts.join(name);
            hash.update(fs::read(&path).with_context(|| format!("could not read {}", path.display()))?);
        }
        Ok(hex::encode(hash.finalize()))
    };
    let needs = hash(&[REQUIREMENTS])?;
    let made = |stamp: &PathBuf, hash: &str| fs::read_to_string(stamp).is_ok_and(|found| found == hash);
    let stamp = venv.join("STAMP");
    if !made(&stamp, &needs) {
        say("bench: a Python with PyTorch and ONNX, for the subjects: some gigabytes, once");
        process::run(Command::new(system_python()?).args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        process::run(pip.arg(scripts.join(REQUIREMENTS)))?;
        fs::write(&stamp, &needs)?;
    }
    let all: Vec<&str> = SCRIPTS.into_iter().chain([REQUIREMENTS]).collect();
    let recipe = hash(&all)?;
    let stamp = subjects.join("STAMP");
    if !made(&stamp, &recipe) {
        say(format!("bench: the subjects, into {}", subjects.display()));
        process::run(Command::new(&python).arg(scripts.join("subjects.py")).arg(&subjects))?;
        fs::write(&stamp, &recipe)?;
    }
    Ok(subjects)
}

fn system_python() -> Result<PathBuf> {
    match ["python3", "python"].iter().find_map(|name| which::which(name).ok()) {
        Some(python) => Ok(python),
        None => bail!("no python3 in PATH: install Python 3.11 or newer with its module venv"),
    }
}
