//! The commands that the documents show: each is understood by the program's own definition of its arguments, and those
//! that need no browser are run. A flag that is renamed breaks a test rather than a reader's day.

use std::path::Path;

use crate::command::{code, folder, stderr, webmatrix_with};
use crate::fake::golden;

const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../README.md")),
    ("ARCHITECTURE.md", include_str!("../../ARCHITECTURE.md")),
    ("matrices/README.md", include_str!("../../matrices/README.md")),
    ("tests/fixtures/README.md", include_str!("../fixtures/README.md")),
];

/// What stands for something in documents, as it is called here.
const MODELS: [(&str, &str); 2] = [("path/to/all-MiniLM-L6-v2", "bert"), ("path/to/model", "bert")];

/// The lines that a shell would be given: in fenced blocks those after a prompt (`console`), or all (`sh`), and in running
/// text the spans of code that begin with the program's name.
fn shown(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_none() { Some(language) } else { None };
            continue;
        }
        match fence {
            Some("console") => commands.extend(line.strip_prefix("$ ").map(str::to_owned)),
            Some("sh") => commands.push(line.to_owned()),
            Some(_) => {}
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                commands.extend(spans.filter(|span| span.starts_with("webmatrix ")).map(str::to_owned));
            }
        }
    }
    commands
}

/// The program's commands among them, word by word: comments dropped, lists taken apart.
fn commands(text: &str) -> Vec<Vec<String>> {
    let words = |command: String| {
        shlex::split(&command).unwrap_or_else(|| panic!("{command}: no shell would understand it"))
    };
    let parts = |words: Vec<String>| -> Vec<Vec<String>> {
        words.split(|word| word == "&&").map(<[String]>::to_vec).collect()
    };
    let all = shown(text).into_iter().map(words).flat_map(parts);
    all.filter(|words| words.first().is_some_and(|word| word == "webmatrix")).collect()
}

/// Placeholders (`FILE`, `CLASS`, `N…`) are for a reader to fill in.
fn is_example(words: &[String]) -> bool {
    let placeholder = |word: &String| {
        word.contains('…') || (word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase()))
    };
    !words.iter().any(placeholder)
}

#[test]
fn every_command_that_is_shown_is_understood() {
    let mut count = 0;
    for (document, text) in DOCUMENTS {
        for words in commands(text) {
            let words: Vec<String> = words.iter().map(|word| word.replace('…', "")).collect();
            // Names alone, as running text has them: `webmatrix verify`.
            let is_name = words.len() == 2 && !words[1].starts_with('-');
            if is_name {
                let known = webmatrix::cli::arguments();
                assert!(known.find_subcommand(&words[1]).is_some(), "{document}: {}", words.join(" "));
            } else if is_example(&words) {
                let understood = webmatrix::cli::arguments().try_get_matches_from(&words);
                // Help is no mistake.
                let error = understood.err().filter(|error| error.use_stderr());
                assert!(
                    error.is_none(),
                    "{document}: {}: {}",
                    words.join(" "),
                    error.map(|e| e.to_string()).unwrap_or_default()
                );
            }
            count += 1;
        }
    }
    assert!(count > 25, "only {count} commands were found: is the documents' form another now?");
}

/// Whether a command neither starts a browser nor asks the network.
fn needs_nothing(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let on_the_host = words.windows(2).any(|pair| pair == ["--browsers", "native"])
        && !words.windows(3).any(|three| three[0] == "--browsers" && !three[2].starts_with('-'));
    match words[1..] {
        ["models", "pull", ..] => false,
        ["browsers" | "plan" | "models" | "report" | "completions" | "man", ..] => true,
        ["run", "--resume", ..] => true,
        ["run" | "verify", ..] => on_the_host,
        _ => false,
    }
}

fn put_model(folder: &Path, class: &str) {
    std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{error}"));
    for file in ["config.json", "model.safetensors", "inputs.safetensors", "expected.safetensors"] {
        std::fs::write(folder.join(file), golden(class, file)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn commands_that_need_no_browser_do_what_the_readme_says() {
    let folder = folder();
    for (place, class) in MODELS {
        put_model(&folder.path().join(place), class);
    }
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peer/tagger.onnx");
    std::fs::copy(onnx, folder.path().join("model.onnx")).unwrap_or_else(|error| panic!("{error}"));
    // As they stand, but for their cost: every flag can be set in the environment.
    let cheaply = [("WEBMATRIX_SAMPLES", "1"), ("WEBMATRIX_BACKENDS", "native-cpu")];
    let mut ran = 0;
    for words in commands(DOCUMENTS[0].1) {
        if words.len() < 2 || !needs_nothing(&words) || !is_example(&words) {
            continue;
        }
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let costs = if arguments[0] == "run" || arguments[0] == "verify" { &cheaply[..] } else { &[] };
        let output = webmatrix_with(folder.path(), &arguments, costs);
        // What is wrong with this machine is no fault of the command that says so.
        let fine =
            code(&output) == 0 || (arguments.starts_with(&["browsers", "check"]) && code(&output) == 69);
        assert!(fine, "{}: {} {}", words.join(" "), code(&output), stderr(&output));
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} commands were run");
}
