//! The model files that were asked for, read and told apart.

use std::collections::BTreeMap;

use super::args::{FileArgs, NamedFile, SelectArgs, Suite, Weights};
use crate::collect::OnnxAsked;
use crate::error::{Exit, ExitStatus, Failure};
use crate::plan::{FileName, ModelFile, NATIVE, Plan, Runtime};

fn usage(text: impl Into<String>) -> Failure {
    Failure::text(ExitStatus::Usage, text)
}

/// The files, by name; none where our engine runs classes.
pub(super) fn read(select: &SelectArgs) -> Result<BTreeMap<FileName, ModelFile>, Failure> {
    let args = &select.files;
    let given = [
        ("--model-file", !args.model_file.is_empty()),
        ("--inputs", !args.inputs.is_empty()),
        ("--expected", !args.expected.is_empty()),
        ("--dim", !args.dim.is_empty()),
    ];
    if args.runtime != Some(Runtime::OrtWeb) {
        return match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(usage(format!("{flag} is for another runtime: add --runtime ort-web"))),
            None => Ok(BTreeMap::new()),
        };
    }
    refuse_what_is_for_classes(select)?;
    if select.browsers.iter().flatten().any(|label| label == NATIVE) {
        return Err(usage(format!("--runtime ort-web runs in pages only: leave {NATIVE} out")));
    }
    let files = asked(args)?;
    let read = |(name, asked): (FileName, OnnxAsked)| Ok((name, asked.read().exit(ExitStatus::BadData)?));
    let files = files.into_iter().map(read).collect::<Result<BTreeMap<_, _>, Failure>>()?;
    match args.dim.iter().find(|dim| !files.values().any(|file| file.dims.contains_key(&dim.name))) {
        Some(dim) => {
            let known: Vec<&str> =
                files.values().flat_map(|file| file.dims.keys().map(String::as_str)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(usage(format!("--dim {}: no model has such a dimension; there are {known}", dim.name)))
        }
        None => Ok(files),
    }
}

/// What chooses and makes models of classes has no meaning for files, and is refused rather than ignored.
fn refuse_what_is_for_classes(select: &SelectArgs) -> Result<(), Failure> {
    let generate = &select.generate;
    let given = [
        ("--suite ops", select.suite == Suite::Ops),
        ("--models", select.models.is_some()),
        ("--size", select.size.is_some()),
        ("--precisions", select.precisions.is_some()),
        ("--features", select.features.is_some()),
        ("--weights", select.weights.iter().any(|weights| *weights != Weights::Twin)),
        ("--batch", select.batch.is_some()),
        ("--sequence-length", select.sequence_length.is_some()),
        (
            "the flags of generation",
            generate.max_new_tokens.is_some()
                || generate.stop
                || generate.temperature.is_some()
                || generate.top_k.is_some()
                || generate.top_p.is_some()
                || generate.seed.is_some(),
        ),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(usage(format!(
            "--runtime ort-web runs files as they are, and no class of ours: leave {flag} out"
        ))),
        None => Ok(()),
    }
}

/// What is asked of each file, by its name.
fn asked(args: &FileArgs) -> Result<BTreeMap<FileName, OnnxAsked>, Failure> {
    let mut files = BTreeMap::new();
    for file in &args.model_file {
        let name = file.name.clone().unwrap_or_else(|| FileName::of(&file.path));
        let dims = args.dim.iter().map(|dim| (dim.name.clone(), dim.size)).collect();
        let asked = OnnxAsked { model: file.path.clone(), dims, ..OnnxAsked::default() };
        if files.insert(name.clone(), asked).is_some() {
            return Err(usage(format!(
                "two model files are called {name}: give one a name, --model-file NAME=FILE"
            )));
        }
    }
    if files.is_empty() {
        return Err(usage("--runtime ort-web runs files: give it one with --model-file FILE.onnx"));
    }
    for (flag, given) in [("--inputs", &args.inputs), ("--expected", &args.expected)] {
        for file in given {
            let of = of(flag, file, &mut files)?;
            let place = if flag == "--inputs" { &mut of.inputs } else { &mut of.expected };
            if place.replace(file.path.clone()).is_some() {
                return Err(usage(format!("{flag} is given twice for one model")));
            }
        }
    }
    Ok(files)
}

/// The model that a file of tensors is for: the one that it names, or the only one.
fn of<'f>(
    flag: &str,
    file: &NamedFile,
    files: &'f mut BTreeMap<FileName, OnnxAsked>,
) -> Result<&'f mut OnnxAsked, Failure> {
    let known: Vec<String> = files.keys().map(ToString::to_string).collect();
    let named = match &file.name {
        Some(name) => files.get_mut(name),
        None if files.len() == 1 => files.values_mut().next(),
        None => {
            return Err(usage(format!(
                "{flag}: say of which model, NAME=FILE; there are {}",
                known.join(", ")
            )));
        }
    };
    named.ok_or_else(|| usage(format!("{flag}: no such model; there are {}", known.join(", "))))
}

/// What a person should know of the files before they run.
pub(super) fn notes(plan: &Plan) -> Vec<String> {
    let bound = plan.files.iter().filter(|(_, file)| !file.dims.is_empty());
    bound
        .map(|(name, file)| {
            let dims: Vec<String> = file.dims.iter().map(|(dim, size)| format!("{dim}={size}")).collect();
            format!("{name}: run with {}; --dim NAME=N binds them otherwise", dims.join(", "))
        })
        .collect()
}
