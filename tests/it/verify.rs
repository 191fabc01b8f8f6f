//! `webmatrix verify`, on folders that are right and on folders that are wrong in every way thought of.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::command::{code, folder, stderr, stdout};
use crate::fake::golden;

const FILES: [&str; 4] = ["config.json", "model.safetensors", "inputs.safetensors", "expected.safetensors"];

/// No folder, however bad, may keep the program longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `verify` on the folder; fails if it does not end.
pub(crate) fn verify(model: &Path, further: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmatrix"));
    command.arg("verify").arg("--model-dir").arg(model).arg("--quiet").args(further);
    if !further.contains(&"--format") {
        command.args(["--format", "jsonl"]);
    }
    let out = folder();
    command.current_dir(out.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}"));
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap_or_else(|error| panic!("{error}")).is_none() {
        if Instant::now() > deadline {
            child.kill().ok();
            panic!("verify hangs on {}", model.display());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap_or_else(|error| panic!("{error}"))
}

fn on_the_host(model: &Path) -> Output {
    verify(model, &["--browsers", "native", "--backends", "native-cpu"])
}

/// The lines of an output, as JSON.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stdout(output).lines().map(parse).collect()
}

/// A copy of a golden.
pub(crate) fn copy(class: &str) -> tempfile::TempDir {
    let copy = folder();
    FILES.iter().for_each(|file| put(copy.path(), file, &golden(class, file)));
    copy
}

fn put(folder: &Path, file: &str, bytes: &[u8]) {
    std::fs::write(folder.join(file), bytes).unwrap_or_else(|error| panic!("{error}"));
}

pub(crate) fn get(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{error}"))
}

/// Type, shape and bytes by name.
pub(crate) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(folder: &Path, file: &str) -> Tensors {
    let bytes = get(folder, file);
    let parsed = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{error}"));
    let own = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    parsed.iter().map(own).collect()
}

fn save(folder: &Path, file: &str, tensors: &Tensors) {
    let views: BTreeMap<&String, TensorView<'_>> = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| {
            let view = TensorView::new(*dtype, shape.clone(), data);
            (name, view.unwrap_or_else(|error| panic!("{error}")))
        })
        .collect();
    let bytes = safetensors::serialize(views, None).unwrap_or_else(|error| panic!("{error}"));
    put(folder, file, &bytes);
}

/// Changes the tensors of a file.
pub(crate) fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Tensors)) {
    let mut changed = tensors(folder, file);
    change(&mut changed);
    save(folder, file, &changed);
}

pub(crate) fn element(tensors: &mut Tensors, name: &str, at: usize, value: f32) {
    let (_, _, data) = tensors.get_mut(name).unwrap_or_else(|| panic!("no {name}"));
    data[4 * at..][..4].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn token(tensors: &mut Tensors, name: &str, at: usize, value: i64) {
    let (_, _, data) = tensors.get_mut(name).unwrap_or_else(|| panic!("no {name}"));
    data[8 * at..][..8].copy_from_slice(&value.to_le_bytes());
}

/// What comes of a golden after `spoil`: the exit code, then what was said, or what became of the outputs.
fn spoilt(class: &str, spoil: impl FnOnce(&Path)) -> String {
    let model = copy(class);
    spoil(model.path());
    let output = on_the_host(model.path());
    assert!(![Some(0), None].contains(&output.status.code()), "{output:?}");
    let of_line = |line: &Value| {
        // Which elements are how far off depends on the machine's vector units.
        let error = line["error"].as_str().unwrap_or("-").split(", first ").next().unwrap_or_default();
        let error = error.split_once(" of ").map_or(error, |(_, of_all)| of_all);
        format!(
            "{} {}: {error}",
            line["output"].as_str().unwrap_or("?"),
            line["status"].as_str().unwrap_or("?")
        )
    };
    let mut said: Vec<String> = lines(&output).iter().map(of_line).collect();
    if said.is_empty() {
        said.push(stderr(&output).trim().replace(&model.path().display().to_string(), "DIR"));
    }
    format!("{} {}", code(&output), said.join("\n  "))
}

pub(crate) const WEIGHT: &str = "encoder.layer.1.output.dense.weight";

#[test]
fn a_right_folder_passes_with_every_output_in_a_line() {
    for (class, outputs) in [
        ("bert", ["last_hidden_state", "pooler_output"]),
        ("vit", ["last_hidden_state", "logits"]),
        ("llama", ["generated_ids", "logits"]),
    ] {
        let output = on_the_host(copy(class).path());
        assert_eq!(code(&output), 0, "{class}: {output:?}");
        let lines = lines(&output);
        let names: Vec<&str> = lines.iter().filter_map(|line| line["output"].as_str()).collect();
        assert_eq!(names, outputs, "{class}");
        for line in lines {
            assert_eq!(
                (&line["browser"], &line["backend"], &line["precision"], &line["status"], &line["evidence"]),
                (&"native".into(), &"native-cpu".into(), &"fp32".into(), &"pass".into(), &"cpu".into())
            );
            assert_eq!((&line["implementation"], &line["error"]), (&"NATIVE".into(), &Value::Null));
            assert!(line["max_abs"].as_f64().is_some_and(|max| max < 1e-4), "{line}");
            assert!(line["cosine"].as_f64().is_some_and(|cosine| cosine > 0.9999), "{line}");
        }
    }
}

#[test]
fn the_keys_of_a_line_stand_in_their_order() {
    let text = stdout(&on_the_host(copy("bert").path()));
    let line = text.lines().next().unwrap_or_default();
    let keys = "browser backend precision output max_abs max_rel cosine status evidence implementation error";
    let at = |key: &str| line.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key}: {line}"));
    assert!(keys.split(' ').map(at).is_sorted(), "{line}");
    let parsed: serde_json::Map<String, Value> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(parsed.len(), keys.split(' ').count(), "{line}");
}

#[test]
fn wrong_values_are_wrong() {
    let shape = |tensors: &mut Tensors| {
        let (_, shape, _) = tensors.get_mut("pooler_output").unwrap_or_else(|| panic!("no pooler_output"));
        *shape = vec![64, 2];
    };
    let said = [
        spoilt("bert", |dir| change(dir, "model.safetensors", |t| element(t, WEIGHT, 77, 3.0))),
        spoilt("bert", |dir| change(dir, "expected.safetensors", |t| element(t, "pooler_output", 9, 0.5))),
        spoilt("bert", |dir| change(dir, "expected.safetensors", shape)),
        spoilt("bert", |dir| {
            change(dir, "expected.safetensors", |t| {
                let pooled = t["pooler_output"].clone();
                t.insert("sentence_embedding".to_owned(), pooled);
            });
        }),
        spoilt("llama", |dir| change(dir, "expected.safetensors", |t| token(t, "generated_ids", 31, 3))),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    1 last_hidden_state wrong: 2048 elements out of tolerance
      pooler_output wrong: 128 elements out of tolerance
    1 last_hidden_state pass: -
      pooler_output wrong: 128 elements out of tolerance
    1 last_hidden_state pass: -
      pooler_output wrong: has shape [2, 64], expected [64, 2]
    1 last_hidden_state pass: -
      pooler_output pass: -
      sentence_embedding wrong: missing: the model gave last_hidden_state, pooler_output
    1 generated_ids wrong: differs first at element 31: 461, expected 3; the other outputs agree, so a near tie or a draw may have fallen otherwise
      logits pass: -
    ");
}

#[test]
fn bad_weights_are_told_by_name() {
    let weights = "model.safetensors";
    let said = [
        spoilt("bert", |dir| change(dir, weights, |t| drop(t.remove(WEIGHT)))),
        spoilt("bert", |dir| {
            change(dir, weights, |t| {
                t.entry(WEIGHT.to_owned()).and_modify(|(_, shape, _)| shape.reverse());
            });
        }),
        spoilt("bert", |dir| {
            change(dir, weights, |t| {
                t.entry(WEIGHT.to_owned()).and_modify(|(dtype, _, _)| *dtype = Dtype::I32);
            });
        }),
        spoilt("bert", |dir| change(dir, weights, |t| element(t, WEIGHT, 5, f32::NAN))),
        // The row of a token that these inputs do not use.
        spoilt("bert", |dir| {
            change(dir, weights, |t| element(t, "embeddings.word_embeddings.weight", 63, f32::NAN));
        }),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    65 error: DIR/model.safetensors: as bert: weight encoder.layer.1.output.dense.weight: not in the checkpoint; save the checkpoint and its config.json together, or name the class with --class
    65 error: DIR/model.safetensors: as bert: weight encoder.layer.1.output.dense.weight: has shape [128, 64] where config.json implies [64, 128]; save the checkpoint and its config.json together, or name the class with --class
    65 error: DIR/model.safetensors: as bert: weight encoder.layer.1.output.dense.weight: has type I32 where a float type belongs; save the checkpoint and its config.json together, or name the class with --class
    65 error: DIR/model.safetensors: tensor encoder.layer.1.output.dense.weight holds NaN (element 5), which proves nothing: save it anew
    65 error: DIR/model.safetensors: tensor embeddings.word_embeddings.weight holds NaN (element 63), which proves nothing: save it anew
    ");
}

#[test]
fn an_answer_that_proves_nothing_is_refused() {
    let expected = "expected.safetensors";
    let said = [
        spoilt("bert", |dir| change(dir, expected, |t| element(t, "pooler_output", 3, f32::NAN))),
        spoilt("bert", |dir| change(dir, expected, Tensors::clear)),
        spoilt("bert", |dir| {
            change(dir, expected, |t| {
                t.insert("pooler_output".to_owned(), (Dtype::F32, vec![2, 0], vec![]));
            });
        }),
        spoilt("bert", |dir| {
            change(dir, expected, |t| {
                t.insert("pooler_output".to_owned(), (Dtype::F16, vec![2, 64], vec![0; 256]));
            });
        }),
        spoilt("llama", |dir| {
            change(dir, expected, |t| {
                t.insert("generated_ids".to_owned(), (Dtype::I64, vec![1, 9], vec![0; 72]));
            });
        }),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    65 error: DIR/expected.safetensors: tensor pooler_output holds NaN (element 3), which proves nothing: save it anew
    65 error: DIR/expected.safetensors: holds no tensor: save it anew
    65 error: DIR/expected.safetensors: tensor pooler_output is empty ([2, 0]), which proves nothing: leave it out
    65 error: DIR/expected.safetensors: tensor pooler_output has type F16, too narrow to compare with: save it as F32 or I64
    65 error: DIR/expected.safetensors: generated_ids is 9 tokens wide: it ends before the first generated one
    ");
    let endless = spoilt("llama", |dir| {
        change(dir, expected, |t| {
            let width = (1 << 20) + 32;
            t.insert("generated_ids".to_owned(), (Dtype::I64, vec![1, width], vec![0; 8 * width]));
        });
    });
    let says = "65 error: DIR/expected.safetensors: as llama: input max_new_tokens: ";
    assert!(endless.starts_with(says), "{endless}");
}

#[test]
fn inputs_that_the_model_does_not_take_are_refused() {
    let inputs = "inputs.safetensors";
    let said = [
        spoilt("bert", |dir| change(dir, inputs, |t| token(t, "input_ids", 2, 1 << 40))),
        spoilt("bert", |dir| change(dir, inputs, |t| token(t, "input_ids", 2, -1))),
        spoilt("bert", |dir| change(dir, inputs, |t| drop(t.remove("input_ids")))),
        spoilt("bert", |dir| change(dir, inputs, Tensors::clear)),
        spoilt("vit", |dir| change(dir, inputs, |t| element(t, "pixel_values", 7, f32::NAN))),
        spoilt("vit", |dir| {
            change(dir, inputs, |t| {
                t.insert("image".to_owned(), (Dtype::U8, vec![1], vec![7]));
            });
        }),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    65 error: DIR/inputs.safetensors: as bert: tensor input_ids: 1099511627776 does not fit 32 bits; save the file as the model takes it
    65 error: DIR/inputs.safetensors: as bert: input input_ids: holds -1, outside 0..512; save the inputs as the model takes them
    65 error: DIR/inputs.safetensors: as bert: input input_ids: missing; save the inputs as the model takes them
    65 error: DIR/inputs.safetensors: holds no tensor: save it anew
    65 error: DIR/inputs.safetensors: tensor pixel_values holds NaN (element 7), which proves nothing: save it anew
    65 error: DIR/inputs.safetensors: as vit: input image: this model takes no such input; save the inputs as the model takes them
    ");
}

#[test]
fn files_that_are_cut_hostile_or_absent_are_told_by_name() {
    for file in FILES {
        let mut faults = vec![spoilt("bert", |dir| {
            std::fs::remove_file(dir.join(file)).unwrap_or_else(|error| panic!("{error}"));
        })];
        faults.push(spoilt("bert", |dir| {
            std::fs::remove_file(dir.join(file)).unwrap_or_else(|error| panic!("{error}"));
            std::fs::create_dir(dir.join(file)).unwrap_or_else(|error| panic!("{error}"));
        }));
        faults.push(spoilt("bert", |dir| put(dir, file, b"")));
        let whole = golden("bert", file);
        for kept in [4, whole.len() / 2, whole.len() - 3] {
            faults.push(spoilt("bert", |dir| put(dir, file, &whole[..kept])));
        }
        for length in [u64::MAX, 1 << 62, 99_999_999, 3] {
            let hostile = [&length.to_le_bytes()[..], whole.get(8..).unwrap_or_default()].concat();
            faults.push(spoilt("bert", |dir| put(dir, file, &hostile)));
        }
        for fault in faults {
            assert!(fault.starts_with(&format!("65 error: DIR/{file}: ")), "{file}: {fault}");
        }
    }
}

#[test]
fn a_config_that_cannot_be_honoured_is_refused() {
    let config = |from: &str, to: &str| {
        spoilt("bert", |dir| {
            let text = String::from_utf8(get(dir, "config.json")).unwrap_or_else(|error| panic!("{error}"));
            assert!(text.contains(from), "{from}: {text}");
            put(dir, "config.json", text.replace(from, to).as_bytes());
        })
    };
    let model_type = "\"model_type\": \"bert\"";
    let said = [
        config(model_type, "\"model_type\": \"gpt2\""),
        config(model_type, "\"model_type\": 7"),
        config("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"celu\""),
        config("\"hidden_size\": 64", "\"hidden_size\": -1"),
        config("\"hidden_size\": 64", "\"hidden_size\": 2147483640"),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    65 error: DIR/config.json: model_type "gpt2" is no class of the matrix: if it is built like one, use --class with one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr
    65 error: DIR/config.json: names no model_type: use --class with one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr
    65 error: DIR/config.json: as bert: config field hidden_act = celu: this activation is not implemented; change the field, or leave this model out
    65 error: DIR/config.json: as bert: config field hidden_size = -1: must be a positive whole number; change the field, or leave this model out
    65 error: DIR/model.safetensors: as bert: weight embeddings.word_embeddings.weight: has shape [512, 64] where config.json implies [512, 2147483640]; save the checkpoint and its config.json together, or name the class with --class
    "#);
    // Any weight of the third layer will do.
    let deep = config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000000");
    assert!(deep.starts_with("65 error: DIR/model.safetensors: as bert: weight encoder.layer.2."), "{deep}");
}

#[test]
fn shards_are_found_by_their_index() {
    let model = copy("bert");
    let dir = model.path();
    let all = tensors(dir, "model.safetensors");
    std::fs::remove_file(dir.join("model.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut map = HashMap::new();
    for (at, shard) in names.iter().enumerate() {
        let part: Tensors = all
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 2 == at)
            .map(|(_, (n, t))| (n.clone(), t.clone()))
            .collect();
        map.extend(part.keys().map(|name| (name.clone(), (*shard).to_owned())));
        save(dir, shard, &part);
    }
    let index = |map: &HashMap<String, String>| {
        let text = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
        put(dir, "model.safetensors.index.json", text.as_bytes());
    };
    index(&map);
    let output = on_the_host(dir);
    assert_eq!(code(&output), 0, "{output:?}");

    let mut bad = Vec::new();
    let mut say = || bad.push(stderr(&on_the_host(dir)).trim().replace(&dir.display().to_string(), "DIR"));
    index(&HashMap::new());
    say();
    index(&HashMap::from([(WEIGHT.to_owned(), "../model.safetensors".to_owned())]));
    say();
    index(&map);
    let second = get(dir, names[1]);
    put(dir, names[1], &second[..second.len() - 9]);
    say();
    std::fs::remove_file(dir.join(names[1])).unwrap_or_else(|error| panic!("{error}"));
    say();
    put(dir, "model.safetensors.index.json", b"{}");
    say();
    insta::assert_snapshot!(bad.join("\n"), @r#"
    error: DIR/model.safetensors.index.json: names no shard: a folder to verify holds config.json, model.safetensors (or shards with model.safetensors.index.json), inputs.safetensors and expected.safetensors
    error: DIR/model.safetensors.index.json: shard "../model.safetensors" is not a plain file name
    error: DIR/model-00002-of-00002.safetensors: is not a valid safetensors file (incomplete metadata, file not fully covered): copy or save it anew
    error: DIR/model-00002-of-00002.safetensors: is missing: a folder to verify holds config.json, model.safetensors (or shards with model.safetensors.index.json), inputs.safetensors and expected.safetensors
    error: DIR/model.safetensors.index.json: missing field `weight_map` at line 1 column 2
    "#);
}

#[test]
fn dimensions_that_nobody_can_compute_with_are_given_up_on() {
    let model = copy("llama");
    let text = String::from_utf8(get(model.path(), "config.json")).unwrap_or_else(|error| panic!("{error}"));
    let mut config: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    config["head_dim"] = 0x7fff_fffe.into();
    put(model.path(), "config.json", config.to_string().as_bytes());
    let output = verify(model.path(), &["--browsers", "native", "--deadline", "2"]);
    assert_eq!(code(&output), 65, "{output:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for() {
    for file in FILES {
        let fault = spoilt("bert", |dir| {
            std::fs::remove_file(dir.join(file)).unwrap_or_else(|error| panic!("{error}"));
            let made = Command::new("mkfifo").arg(dir.join(file)).status();
            assert!(made.is_ok_and(|status| status.success()));
        });
        assert!(fault.starts_with(&format!("65 error: DIR/{file}: is no plain file")), "{fault}");
    }
}

#[test]
fn mistakes_are_told_apart_by_exit_code() {
    let model = copy("bert");
    let absent = ["--browsers", "edge", "--browser-path", "edge=edge:/nowhere"];
    for (further, expected, says) in [
        (&["--browsers", "netscape"][..], 2, "unknown browser \"netscape\""),
        (&["--backends", "gpu"], 2, "use one of wasm"),
        (&["--class", "bird"], 2, "use one of bert"),
        (&["--browsers", "native", "--backends", "wasm"], 2, "no cell left"),
        (&absent, 69, ""),
    ] {
        let output = verify(model.path(), further);
        assert_eq!(code(&output), expected, "{further:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{further:?}: {}", stderr(&output));
    }
    let nowhere = verify(&model.path().join("nowhere"), &[]);
    assert_eq!(code(&nowhere), 65);
    assert!(stderr(&nowhere).contains("nowhere: is no folder"), "{}", stderr(&nowhere));
}

#[test]
fn the_table_is_for_people() {
    let model = copy("bert");
    let output =
        verify(model.path(), &["--browsers", "native", "--backends", "native-cpu", "--format", "table"]);
    let text = stdout(&output);
    let heads: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(heads.join(" "), "browser backend output max abs max rel cosine verdict evidence", "{text}");
    assert!(text.ends_with("\noutputs: 2 pass\n"), "{text}");
}
