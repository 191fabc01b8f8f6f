//! What models say of a person's own files: front ends, answers and draws, on the host and in a browser.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{code, folder, stderr, stdout, webmatrix};
use crate::traces::is_here;
use crate::verify::{change, copy, lines, verify};

fn fixture(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media").join(file);
    path.display().to_string()
}

fn put(folder: &Path, file: &str, content: &Value) {
    std::fs::write(folder.join(file), content.to_string()).unwrap_or_else(|error| panic!("{error}"));
}

/// A golden wav2vec 2.0 that is given sound as it is, with this `do_normalize` beside it.
fn hearing(normalized: bool) -> tempfile::TempDir {
    let model = copy("wav2vec2");
    change(model.path(), "inputs.safetensors", |tensors| drop(tensors.remove("input_values")));
    put(
        model.path(),
        "preprocessor_config.json",
        &json!({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": normalized}),
    );
    model
}

fn statuses(model: &Path, place: &[&str]) -> Vec<String> {
    let output = verify(model, place);
    lines(&output).iter().map(|line| line["status"].as_str().unwrap_or("-").to_owned()).collect()
}

/// The golden's answer is to sound that is normalised.
fn the_front_end_is_what_the_folder_says(place: &[&str]) {
    let right = statuses(hearing(true).path(), place);
    assert!(!right.is_empty() && right.iter().all(|status| status == "pass"), "{right:?}");
    let other = statuses(hearing(false).path(), place);
    assert!(other.iter().any(|status| status == "wrong"), "{other:?}");
}

#[test]
fn a_preprocessor_changes_what_the_host_computes() {
    the_front_end_is_what_the_folder_says(&["--browsers", "native", "--backends", "native-cpu"]);
}

#[test]
fn a_preprocessor_changes_what_a_browser_computes() {
    if is_here("chromium") {
        the_front_end_is_what_the_folder_says(&["--browsers", "chromium", "--backends", "wasm"]);
    }
}

#[test]
fn a_preprocessor_that_cannot_be_honoured_is_refused_by_name() {
    let model = hearing(true);
    let file = "preprocessor_config.json";
    let refused = |content: &Value| {
        put(model.path(), file, content);
        let weights = format!("wav2vec2={}", model.path().display());
        let run = ["run", "--browsers", "native", "--models", "wav2vec2", "--weights", &weights];
        let said = webmatrix(folder().path(), &run);
        assert_eq!(code(&said), 65, "{}", stderr(&said));
        let verified = verify(model.path(), &["--browsers", "native"]);
        assert_eq!(code(&verified), 65, "{}", stderr(&verified));
        stderr(&verified).trim().replace(&model.path().display().to_string(), "DIR")
    };
    let left = json!({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "padding_side": "left"});
    let other = json!({"image_processor_type": "ViTImageProcessor"});
    let said = [refused(&left), refused(&other), refused(&json!([]))];
    insta::assert_snapshot!(said.join("\n"), @r#"
    error: DIR/preprocessor_config.json: as wav2vec2: config field padding_side = "left": only "right" is implemented; change it, or take the file away if inputs.safetensors holds what it would have made
    error: DIR/preprocessor_config.json: as wav2vec2: config field image_processor_type = ViTImageProcessor: is not Wav2Vec2's front end; change it, or take the file away if inputs.safetensors holds what it would have made
    error: DIR/preprocessor_config.json: as wav2vec2: not a JSON object; change it, or take the file away if inputs.safetensors holds what it would have made
    "#);
}

/// Runs a class on the host; gives its cell in the report.
fn told(out: &Path, class: &str, model: &Path, further: &[&str]) -> Value {
    let weights = format!("{class}={}", model.display());
    let run =
        ["run", "--browsers", "native", "--backends", "native-cpu", "--samples", "1", "--models", class];
    let output = webmatrix(out, &[&run[..], &["--weights", &weights], further].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = stdout(&webmatrix(out, &["report", "--format", "jsonl"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut cells = cells.filter(|cell| cell["status"] == "pass");
    let mut cell = cells.next().unwrap_or_else(|| panic!("{report}"));
    // Said once more to people.
    cell["said"] = stderr(&output).lines().filter(|line| line.starts_with("    ")).collect::<String>().into();
    cell
}

/// The sound in the file is the golden's, so what is heard is what transformers' tokenizer hears in the golden.
#[test]
fn a_sound_file_is_heard() {
    let (out, model) = (folder(), hearing(true));
    let specials = ["<pad>", "<s>", "</s>", "<unk>", "|"].map(str::to_owned).into_iter();
    let letters = specials.chain("ETAONIHSRDLUMWCFGYPBVK'XJQZ".chars().map(String::from));
    put(
        model.path(),
        "vocab.json",
        &letters.zip(0..).collect::<std::collections::HashMap<_, i32>>().into_iter().collect(),
    );
    let cell = told(out.path(), "wav2vec2", model.path(), &["--audio", &fixture("sound.wav")]);
    let text = cell["answer"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("W<unk>D<unk>Z<unk>D<unk>W<unk>W<unk>W<unk>DWD"), "{cell}");
    assert_eq!(cell["said"], format!("    text: {text:?}"));
}

#[test]
fn a_picture_file_is_named_as_the_config_names_it() {
    let (out, model) = (folder(), copy("vit"));
    let config = std::fs::read(model.path().join("config.json")).unwrap_or_else(|error| panic!("{error}"));
    let mut config: Value = serde_json::from_slice(&config).unwrap_or_else(|error| panic!("{error}"));
    for class in 0..10 {
        config["id2label"][class.to_string()] = format!("animal {class}").into();
    }
    put(model.path(), "config.json", &config);
    let size = json!({"height": 32, "width": 32});
    let preprocessor = json!({"image_processor_type": "ViTImageProcessor", "size": size});
    put(model.path(), "preprocessor_config.json", &preprocessor);
    let cell = told(out.path(), "vit", model.path(), &["--image", &fixture("picture.png")]);
    let said = cell["answer"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(said.len(), 5, "{cell}");
    let score = |at: usize| said[at]["score"].as_f64().unwrap_or_default();
    assert!(score(0) > score(1) && said[0]["text"].as_str().is_some_and(|text| text.starts_with("animal ")));
    assert!(cell["said"].as_str().is_some_and(|said| said.starts_with("    label: animal ")), "{cell}");
    let page = std::fs::read_to_string(out.path().join("webmatrix-out/report.html")).unwrap_or_default();
    assert!(page.is_empty());
    assert_eq!(code(&webmatrix(out.path(), &["report"])), 0);
    let page = std::fs::read_to_string(out.path().join("webmatrix-out/report.html")).unwrap_or_default();
    assert!(crate::html::behind(&page).contains("label: animal "), "not in the page");
}

/// A picture among a text's tokens, whole and in tiles.
#[test]
fn a_picture_is_told_of() {
    for (class, processor) in [("llava", "CLIPImageProcessor"), ("llava_next", "LlavaNextImageProcessor")] {
        let (out, model) = (folder(), copy(class));
        let words = json!({"<unk>": 0, "what": 1, "is": 2, "this": 3, "<image>": 511});
        let tokenizer = json!({
            "version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
        });
        put(model.path(), "tokenizer.json", &tokenizer);
        let (size, grid) = (json!({"shortest_edge": 32}), json!([[32, 64], [64, 32], [64, 64]]));
        let preprocessor = json!({
            "image_processor_type": processor, "size": size, "crop_size": 32, "image_grid_pinpoints": grid,
        });
        put(model.path(), "preprocessor_config.json", &preprocessor);
        let picture = fixture("picture.png");
        let asked = ["--image", &picture, "--text", "<image> what is this", "--max-new-tokens", "4"];
        let cell = told(out.path(), class, model.path(), &asked);
        assert_eq!(cell["answer"][0]["task"], "text", "{cell}");
        let weights = format!("{class}={}", model.path().display());
        let run =
            ["run", "--browsers", "native", "--models", class, "--weights", &weights, "--image", &picture];
        let said = stderr(&webmatrix(out.path(), &[&run[..], &["--text", "what is this"]].concat()));
        assert!(said.contains("has 0 of token 511, which stands for a picture, for 1 pictures"), "{said}");
    }
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let (out, model) = (folder(), copy("vit"));
    let (sound, picture) = (fixture("sound.wav"), fixture("picture.png"));
    let weights = format!("vit={}", model.path().display());
    let run = |further: &[&str]| {
        let run = ["run", "--browsers", "native", "--models", "vit", "--weights", &weights];
        let output = webmatrix(out.path(), &[&run[..], further].concat());
        let said = stderr(&output).replace(&model.path().display().to_string(), "DIR");
        let said = said.replace(env!("CARGO_MANIFEST_DIR"), "");
        format!("{} {}", code(&output), said.lines().next().unwrap_or_default())
    };
    let bare = run(&["--image", &picture]);
    put(model.path(), "preprocessor_config.json", &json!({"image_processor_type": "ViTImageProcessor"}));
    let said = [
        bare,
        run(&["--image", &picture]),
        run(&["--image", &sound]),
        run(&["--image", "nowhere.png"]),
        run(&["--audio", &sound]),
        run(&["--text", "a cat"]),
        run(&["--weights", "twin", "--models", "bert", "--text", "a cat"]),
        run(&["--temperature", "0"]),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    65 error: weights of vit: --image: DIR lacks preprocessor_config.json, which says how it is read
    65 error: weights of vit: input pixel_values: is F32 [1, 3, 224, 224] where floats of [any, 3, 32, 32] belong
    65 error: weights of vit: /tests/fixtures/media/sound.wav: The image format could not be determined
    65 error: weights of vit: nowhere.png: No such file or directory (os error 2)
    65 error: weights of vit: --audio: vit takes no sound
    65 error: weights of vit: --text: DIR/tokenizer.json is missing: it says how text is read
    2 error: --image, --audio, --text and --corpus are for the models of --weights, and native/bert@tiny/webmatrix/native-cpu/fp32/default is none: choose with --models
    2 error: --temperature must be above 0 and at most 100; leave it out for the likeliest token each time
    ");
}

/// The tokens that llama gives, by place.
fn drawn(out: &Path, places: &[&str], further: &[&str]) -> Vec<(String, String)> {
    let run = ["run", "--models", "llama", "--samples", "1", "--browsers"];
    let output = webmatrix(out, &[&run[..], places, further].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = stdout(&webmatrix(out, &["report", "--format", "jsonl"]));
    let cells = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |cell: Value| (text(&cell["agreement"]["reference"]), text(&cell["answer"][0]["text"]));
    cells.filter(|cell| cell["status"] == "pass").map(of).collect()
}

#[test]
fn draws_are_the_same_wherever_logits_are() {
    let out = folder();
    let chromium = is_here("chromium");
    let places: &[&str] = if chromium {
        &["native", "chromium", "--backends", "native-cpu", "wasm", "webgpu"]
    } else {
        &["native", "--backends", "native-cpu"]
    };
    let draw = ["--temperature", "2", "--top-k", "50", "--top-p", "0.95", "--max-new-tokens", "9", "--seed"];
    let of = |seed: &str| drawn(out.path(), places, &[&draw[..], &[seed]].concat());
    let (five, again, six) = (of("5"), of("5"), of("6"));
    assert_eq!(five.len(), if chromium { 3 } else { 1 }, "{five:?}");
    assert_eq!(five, again);
    assert!(five.iter().all(|cell| *cell == five[0]) && five[0].0 == "native-cpu", "{five:?}");
    assert_ne!(five[0].1, six[0].1);
    let greedy = drawn(out.path(), &places[..1], &["--backends", "native-cpu"]);
    assert_eq!(greedy[0].0, "pytorch-golden");
    let tokens = |text: &str| text.split(' ').count();
    assert_eq!((tokens(&greedy[0].1), tokens(&five[0].1)), (16 + 16, 16 + 9));
    assert_ne!(greedy[0].1.split(' ').take(25).collect::<Vec<_>>().join(" "), five[0].1);
}

/// An end token ends it: llama's own first token is made one.
#[test]
fn an_end_token_stops_what_is_told_to_stop() {
    let (out, model) = (folder(), copy("llama"));
    std::fs::remove_file(model.path().join("expected.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    let tokens = |further: &[&str]| {
        let cell = told(out.path(), "llama", model.path(), further);
        let text = cell["answer"][0]["text"].as_str().unwrap_or_default().to_owned();
        text.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = tokens(&["--max-new-tokens", "6"]);
    assert_eq!(whole.len(), 22);
    let config = std::fs::read(model.path().join("config.json")).unwrap_or_else(|error| panic!("{error}"));
    let mut config: Value = serde_json::from_slice(&config).unwrap_or_else(|error| panic!("{error}"));
    config["eos_token_id"] = whole[18].parse::<i32>().unwrap_or_default().into();
    put(model.path(), "config.json", &config);
    let first = whole[16..].iter().position(|token| *token == whole[18]).unwrap_or_default();
    assert_eq!(tokens(&["--max-new-tokens", "6", "--stop"]), whole[..=16 + first]);
    // Without, it is never chosen, and there are as many as were asked for.
    let masked = tokens(&["--max-new-tokens", "6"]);
    assert!(masked.len() == 22 && !masked[16..].contains(&whole[18]), "{masked:?}");
}
