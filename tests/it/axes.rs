//! `--batch` and `--sequence-length`, on the host.

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::fake::golden;

#[test]
fn batches_and_lengths_are_axes() {
    let folder = folder();
    let run = ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "vit", "llama"];
    let axes = ["--batch", "1", "3", "--sequence-length", "9", "--samples", "1"];
    let output = webmatrix(folder.path(), &[&run[..], &axes].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = stdout(&webmatrix(folder.path(), &["report", "--format", "jsonl"]));
    let mut cells: Vec<String> = report
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|cell| {
            let text = |key: &str| cell[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", text("id"), text("size"), text("status"), text("error"))
        })
        .collect();
    cells.sort();
    insta::assert_snapshot!(cells.join("\n"), @r"
    native/bert@tiny+b1+t9/webmatrix/native-cpu/fp32/default tiny+b1+t9 pass -
    native/bert@tiny+b3+t9/webmatrix/native-cpu/fp32/default tiny+b3+t9 pass -
    native/llama@tiny+b1+t9/webmatrix/native-cpu/fp32/default tiny+b1+t9 pass -
    native/llama@tiny+b3+t9/webmatrix/native-cpu/fp32/default tiny+b3+t9 pass -
    native/vit@tiny+b1+t9/webmatrix/native-cpu/fp32/default tiny+b1+t9 not_applicable vit@tiny with 9 tokens: input input_ids: this class reads no text, so it has no sequence length
    native/vit@tiny+b3+t9/webmatrix/native-cpu/fp32/default tiny+b3+t9 not_applicable vit@tiny with 9 tokens: input input_ids: this class reads no text, so it has no sequence length
    ");
    let journals = std::fs::read_dir(folder.path().join("webmatrix-out/journal"));
    let journal = journals.unwrap_or_else(|error| panic!("{error}")).flatten().next();
    let journal = journal.unwrap_or_else(|| panic!("no journal")).path();
    let journal = std::fs::read_to_string(journal).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(journal.matches("items_per_second").count(), 4, "one a cell that ran");
}

#[test]
fn weights_that_are_given_run_on_repeated_inputs() {
    let folder = folder();
    for file in ["config.json", "model.safetensors", "inputs.safetensors", "expected.safetensors"] {
        std::fs::write(folder.path().join(file), golden("bert", file))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--models", "bert", "--samples", "1"];
    let with = |further: &[&str]| {
        let output = webmatrix(folder.path(), &[&run[..], &["--weights", "bert=."], further].concat());
        (code(&output), stderr(&output))
    };
    let (status, said) = with(&["--batch", "5", "--sequence-length", "40"]);
    assert!(status == 0 && said.contains("native/bert@own+b5+t40/webmatrix"), "{status} {said}");
    let (status, said) = with(&["--sequence-length", "100000"]);
    assert!(status == 65 && said.contains("100000 tokens exceed"), "{status} {said}");
}

#[test]
fn a_matrix_file_names_batches_and_lengths() {
    let folder = folder();
    let matrix = "name = \"axes\"\n[axes]\nbrowsers = [\"native\"]\nmodels = [\"bert\"]\nbackends = [\"native-cpu\"]\n\
                  batches = [1, 4]\nsequence_lengths = [8]\n\
                  [[include]]\nreason = \"r\"\nbatches = []\nsequence_lengths = [32]\n\
                  [[exclude]]\nreason = \"too many\"\nbatches = [4]\n";
    std::fs::write(folder.path().join("axes.toml"), matrix).unwrap_or_else(|error| panic!("{error}"));
    let cells = |further: &[&str]| {
        let output = webmatrix(folder.path(), &[&["plan", "--matrix", "axes.toml"], further].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = stdout(&output);
        let cells = text.lines().filter_map(|line| line.split_once("bert@tiny")?.1.split('/').next());
        cells.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(cells(&[]), "+b1+t8 +t32");
    assert_eq!(cells(&["--batch", "2"]), "+b2+t8 +b2+t32");
    assert_eq!(cells(&["--sequence-length", "5", "--batch", "4", "2"]), "+b2+t5");
}

#[test]
fn more_tokens_than_there_are_positions_cannot_be_asked_for() {
    let folder = folder();
    let plan = |further: &[&str]| {
        let plan =
            ["plan", "--browsers", "native", "--backends", "native-cpu", "--models", "whisper", "llama"];
        let output = webmatrix(folder.path(), &[&plan[..], further].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let many = plan(&["--max-new-tokens", "100000"]);
    assert!(many.contains("to start with and 100000 new ones"), "{many}");
    // Rotary positions have no end.
    assert!(many.contains("native/llama@tiny/") && !many.contains("native/whisper@tiny/"), "{many}");
    assert!(plan(&["--max-new-tokens", "5"]).contains("native/whisper@tiny/"));
}
