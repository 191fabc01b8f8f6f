//! What another runtime is held against: a folder a subject, and the folder with the runtime's own files.

use std::fs;
use std::path::{Path, PathBuf};

use webmatrix_engine::run::subject;
use webmatrix_wire::{Backend, PairsJob, Subject};

use super::verdict::Reference;
use crate::serve::{FileSource, Files};

const ONNX: &str = "model.onnx";
const INPUTS: &str = "inputs.safetensors";
const EXPECTED: &str = "expected.safetensors";
const CONFIG: &str = "config.json";

/// What is wrong with a subject, or with the other runtime.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// A file is not there.
    #[error("{path}: {source}; {remedy}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The config does not say whose it is.
    #[error("{path}: no model_type that names a class")]
    Class {
        /// The config.
        path: PathBuf,
    },
}

const MAKE: &str = "`cargo xtask bench --peer ort-web` makes the subjects";
const INSTALL: &str = "it comes with the npm package onnxruntime-web, which `cargo xtask setup` fetches";

/// A subject: the same thing for the engine and for another runtime, with the independent answer.
#[derive(Clone, Debug)]
pub struct SubjectFolder {
    /// What the engine runs; none if the op is not built yet.
    pub ours: Option<Subject>,
    /// What a page may fetch.
    pub files: Files,
    /// What both sides must give.
    pub expected: Reference,
}

impl SubjectFolder {
    /// Reads a folder that `ci/peer` made: with `config.json` a model, else an op by the folder's name.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn open(folder: &Path, name: &str) -> Result<Self, SubjectError> {
        let there = |file: &str| -> Result<PathBuf, SubjectError> {
            let path = folder.join(file);
            match fs::metadata(&path) {
                Ok(_) => Ok(path),
                Err(source) => Err(SubjectError::File { path, source, remedy: MAKE }),
            }
        };
        let mut names = vec![ONNX, INPUTS];
        let ours = if folder.join(CONFIG).is_file() {
            names.extend([CONFIG, "model.safetensors"]);
            let class = class(&there(CONFIG)?)?;
            Some(Subject::Model { class, config: CONFIG.into(), weights: vec!["model.safetensors".into()] })
        } else {
            names.push("weights.safetensors");
            let built = subject::subjects().any(|known| known == name);
            built.then(|| Subject::Op { name: name.to_owned(), weights: "weights.safetensors".into() })
        };
        let path = there(EXPECTED)?;
        let bytes = fs::read(&path).map_err(|source| SubjectError::File { path, source, remedy: MAKE })?;
        let files = names.into_iter().map(|name| Ok((name.to_owned(), FileSource::Disk(there(name)?))));
        Ok(Self {
            ours,
            files: files.collect::<Result<_, SubjectError>>()?,
            expected: Reference { source: "float64".to_owned(), tensors: bytes.into() },
        })
    }

    /// The job of both sides; none if ours is not built.
    pub fn job(&self, backend: Backend, threads: u32, warmup: u32, pairs: u32) -> Option<PairsJob> {
        let ours = self.ours.clone()?;
        Some(PairsJob { backend, ours, onnx: ONNX.into(), inputs: INPUTS.into(), threads, warmup, pairs })
    }
}

fn class(config: &Path) -> Result<String, SubjectError> {
    let parsed =
        fs::read(config).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let class = parsed.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned()));
    class.ok_or_else(|| SubjectError::Class { path: config.to_owned() })
}

/// What a page may load of onnxruntime-web: the modules that it chooses from, by their names in its package.
///
/// # Errors
/// If the folder has none of them.
pub fn peer_files(dist: &Path) -> Result<Files, SubjectError> {
    let listed = fs::read_dir(dist).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let failed = |source| SubjectError::File { path: dist.to_owned(), source, remedy: INSTALL };
    let mut files = Files::new();
    for entry in listed.map_err(failed)? {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("ort") && (name.ends_with(".mjs") || name.ends_with(".wasm")) {
            files.insert(name, FileSource::Disk(path));
        }
    }
    if files.is_empty() {
        return Err(failed(std::io::Error::other("holds no module of onnxruntime-web")));
    }
    Ok(files)
}
