//! What the goldens' outputs say, against what transformers and PyTorch say of the same outputs.

use std::fs;
use std::path::PathBuf;

use webmatrix_engine::models::Config;
use webmatrix_engine::tasks::{Answer, Labels, Material, Scored, Vocabulary, answer};
use webmatrix_engine::tensor::{NamedTensors, read_safetensors};

fn golden(class: &str, file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/goldens");
    fs::read(folder.join(class).join(file)).unwrap()
}

fn tensors(class: &str, file: &str) -> NamedTensors {
    read_safetensors(file, &golden(class, file)).unwrap()
}

fn config(class: &str) -> Config {
    Config::parse("config.json", &golden(class, "config.json")).unwrap()
}

fn said(class: &str, material: &Material<'_>) -> Answer {
    answer(class, &tensors(class, "expected.safetensors"), material).unwrap()
}

fn close(have: f64, want: f64, bound: f64) -> bool {
    (have - want).abs() <= bound
}

/// Labels and scores, by row.
fn check_scores(rows: &[Vec<Scored>], expected: &[&[(&str, f64)]]) {
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row.len(), expected.len());
        for (scored, (label, score)) in row.iter().zip(*expected) {
            assert!(
                scored.label == *label && close(scored.score, *score, 1e-4),
                "{scored:?} is not {label} {score}"
            );
        }
    }
}

#[test]
fn classes_are_the_likeliest() {
    let material = Material { labels: Labels::read(&config("vit")).unwrap(), top: 2, ..Material::default() };
    let Answer::Labels(rows) = said("vit", &material) else { panic!("labels") };
    let expected: [&[(&str, f64)]; 2] =
        [&[("LABEL_7", 0.4309), ("LABEL_2", 0.2289)], &[("LABEL_3", 0.3036), ("LABEL_7", 0.2037)]];
    check_scores(&rows, &expected);
}

#[test]
fn texts_are_ranked_for_every_image() {
    let material = Material { candidates: &["a", "b", "c"], ..Material::default() };
    let Answer::Rankings(rows) = said("clip", &material) else { panic!("rankings") };
    let expected: [&[(&str, f64)]; 2] =
        [&[("b", 0.7636), ("c", 0.2161), ("a", 0.0202)], &[("b", 0.7039), ("c", 0.2710), ("a", 0.0252)]];
    check_scores(&rows, &expected);
}

/// Of `post_process_object_detection`.
#[test]
fn objects_are_where_transformers_finds_them() {
    let material = Material {
        labels: Labels::read(&config("detr")).unwrap(),
        sizes: &[[480, 640]],
        threshold: 0.157,
        ..Material::default()
    };
    let Answer::Boxes(pictures) = said("detr", &material) else { panic!("boxes") };
    let [found] = &pictures[..] else { panic!("one picture") };
    assert_eq!(found.len(), EXPECTED_OBJECTS.len(), "{found:?}");
    for (object, (class, score, corners)) in found.iter().zip(EXPECTED_OBJECTS) {
        assert!(object.index == *class && close(object.score, *score, 1e-5), "{object:?}");
        assert_eq!(object.label, format!("LABEL_{class}"));
        assert!(
            object.corners.iter().zip(corners).all(|(have, want)| close(*have, *want, 0.01)),
            "{object:?}"
        );
    }
}

const EXPECTED_OBJECTS: &[(usize, f64, [f64; 4])] = &[
    (4, 0.160098, [70.426, 236.087, 292.214, 384.709]),
    (4, 0.157621, [72.932, 235.689, 293.339, 383.674]),
    (4, 0.157052, [75.064, 237.371, 292.953, 383.497]),
];

/// Of `Wav2Vec2CTCTokenizer`, with the letters of the published models.
#[test]
fn speech_is_what_transformers_hears() {
    let specials = ["<pad>", "<s>", "</s>", "<unk>", "|"].map(str::to_owned).into_iter();
    let letters = specials.chain("ETAONIHSRDLUMWCFGYPBVK'XJQZ".chars().map(String::from));
    let numbers: serde_json::Map<_, _> =
        letters.zip(0..).map(|(letter, id)| (letter, serde_json::json!(id))).collect();
    let vocabulary = serde_json::to_vec(&numbers).unwrap();
    let vocabulary = Vocabulary::read(&vocabulary, &config("wav2vec2")).unwrap();
    let Answer::Text(rows) =
        said("wav2vec2", &Material { vocabulary: Some(&vocabulary), ..Material::default() })
    else {
        panic!("text")
    };
    assert_eq!(rows, [EXPECTED_TEXT]);
}

const EXPECTED_TEXT: &str = "\
    W<unk>D<unk>Z<unk>D<unk>W<unk>W<unk>W<unk>DWD<unk>D<unk>DW<unk>WD<unk>DWD<unk>WQ\
    WDW<unk>D<unk>ZWDWD'D<unk>WD<unk>D<unk>WD<unk>D'<unk>D<unk>WZ<unk>WD<unk>D<unk>D\
    <unk>W<unk>DWD<unk>FZD<unk>ZWD<unk>D<unk>WQZ<unk>WDZW<unk>DWDZWZ<unk>DW<unk>D<un\
    k>D<unk>WD<unk>WD<unk>FW<unk>W<unk>ZW<unk>EWZ<unk>Z<unk>Z'Z<unk>WZWD<unk>WAN<unk\
    >FWX<unk>W<unk>W<unk>DW<unk>DW<unk>";

/// Of `normalize(mean over the mask)` in PyTorch: the second text is half padding.
#[test]
fn sentences_are_embedded_without_their_padding() {
    let inputs = tensors("bert", "inputs.safetensors");
    let material = Material { attention_mask: Some(&inputs["attention_mask"]), ..Material::default() };
    let Answer::Embeddings(rows) = said("bert", &material) else { panic!("embeddings") };
    for (row, expected) in rows.iter().zip([[0.1058, -0.0717], [0.1551, -0.0603]]) {
        assert!(row.iter().zip(expected).all(|(have, want)| close(f64::from(*have), want, 1e-4)), "{row:?}");
    }
    let cosine: f32 = rows[0].iter().zip(&rows[1]).map(|(a, b)| a * b).sum();
    assert!(close(f64::from(cosine), 0.8013, 1e-4), "{cosine}");
}
