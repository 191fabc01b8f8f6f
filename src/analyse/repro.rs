//! The command that runs one cell again.

use webmatrix_wire::{Job, JobKind, ModelSource, TwinSize};

use crate::plan::{Cell, Size};

/// The words of a command line that plans this cell and no other of its browser; what only a person can fill in stands in
/// capitals. `job` is what the page was given: it knows the number of samples, the features and how tokens are drawn.
pub fn command(cell: &Cell, job: Option<&Job>) -> Vec<String> {
    let mut words: Vec<String> = ["webmatrix", "run", "--browsers", &cell.browser].map(str::to_owned).into();
    let mut say = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    match cell.size {
        Size::File => {
            say("--runtime", cell.runtime.to_string());
            say("--model-file", format!("{}=FILE", cell.model));
            say("--peer-dir", "DIR".to_owned());
        }
        Size::Own => {
            say("--models", cell.model.to_string());
            say("--weights", format!("{}=DIR", cell.model));
        }
        _ => {
            say("--models", cell.model.to_string());
            say("--size", cell.size.to_string());
        }
    }
    if let Some(batch) = cell.shape.batch {
        say("--batch", batch.to_string());
    }
    if let Some(tokens) = cell.shape.tokens {
        say("--sequence-length", tokens.to_string());
    }
    say("--backends", cell.backend.to_string());
    if cell.size != Size::File {
        say("--precisions", cell.precision.to_string());
    }
    let Some(JobKind::Cell(given) | JobKind::Trace(given)) = job.map(|job| &job.kind) else { return words };
    if !given.features.is_empty() {
        say("--features", given.features.join(","));
    }
    say("--samples", given.samples.to_string());
    if let Some(limit) = given.memory_limit {
        say("--memory-limit", limit.to_string());
    }
    if let Some(sampling) = given.generation.sampling {
        say("--max-new-tokens", given.generation.max_new_tokens.to_string());
        say("--temperature", sampling.temperature.to_string());
        say("--top-k", sampling.top_k.to_string());
        say("--top-p", sampling.top_p.to_string());
        say("--seed", sampling.seed.to_string());
    }
    if given.generation.stops {
        words.push("--stop".to_owned());
    }
    words
}

/// What the model was given, in words.
pub fn inputs(job: &Job) -> String {
    let (JobKind::Cell(given) | JobKind::Trace(given)) = &job.kind else { return String::new() };
    match &given.model {
        ModelSource::Twin { size, seed, batch, tokens } => {
            let of = |size: &TwinSize| size.as_str();
            let length = tokens.map(|tokens| format!(", {tokens} tokens")).unwrap_or_default();
            format!("seeded weights and inputs of the {} twin, seed {seed}, batch {batch}{length}", of(size))
        }
        ModelSource::Files { config, weights, inputs, .. } => {
            format!("files: {config}, {}, {inputs}", weights.join(", "))
        }
        ModelSource::Onnx { model, inputs, dims } => {
            let dims: Vec<String> = dims.iter().map(|(dim, size)| format!("{dim}={size}")).collect();
            format!("files: {model}, {inputs} {}", dims.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(id: &str, job: Option<&Job>) -> String {
        command(&id.parse().unwrap_or_else(|error| panic!("{error}")), job).join(" ")
    }

    #[test]
    fn what_the_page_was_given_is_asked_for_again() {
        let job = r#"{"wire_version":1,"attempt":"a","title":"t","deadline_ms":1,"nonce":1,"variant":null,"kind":{"cell":{
            "class":"llama","backends":["wasm"],"precision":"int4","features":["threads-2","kv-int8"],
            "model":{"twin":{"size":"tiny","seed":7,"batch":4,"tokens":64}},"warmup":1,"samples":12,"memory_limit":null,
            "generation":{"max_new_tokens":8,"stops":true,"sampling":{"temperature":0.5,"top_k":40,"top_p":1.0,"seed":3}}}}}"#;
        let job: Job = serde_json::from_str(job).unwrap_or_else(|error| panic!("{error}"));
        insta::assert_snapshot!(words("chromium/llama@tiny+b4+t64/webmatrix/wasm/int4/threads-2-kv-int8", Some(&job)), @"webmatrix run --browsers chromium --models llama --size tiny --batch 4 --sequence-length 64 --backends wasm --precisions int4 --features threads-2,kv-int8 --samples 12 --max-new-tokens 8 --temperature 0.5 --top-k 40 --top-p 1 --seed 3 --stop");
        insta::assert_snapshot!(inputs(&job), @"seeded weights and inputs of the tiny twin, seed 7, batch 4, 64 tokens");
    }
}
