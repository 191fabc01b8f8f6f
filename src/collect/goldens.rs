//! The golden fixtures, carried by the program: models whose answers another implementation gave.

use bytes::Bytes;

/// A golden model and its answer.
#[derive(Debug)]
pub(super) struct Golden {
    pub(super) class: &'static str,
    pub(super) config: &'static [u8],
    pub(super) weights: &'static [u8],
    pub(super) inputs: &'static [u8],
    pub(super) expected: &'static [u8],
}

macro_rules! goldens {
    ($($class:literal)+) => {
        static GOLDENS: &[Golden] = &[$(Golden {
            class: $class,
            config: include_bytes!(concat!("../../tests/fixtures/goldens/", $class, "/config.json")),
            weights: include_bytes!(concat!("../../tests/fixtures/goldens/", $class, "/model.safetensors")),
            inputs: include_bytes!(concat!("../../tests/fixtures/goldens/", $class, "/inputs.safetensors")),
            expected: include_bytes!(concat!("../../tests/fixtures/goldens/", $class, "/expected.safetensors")),
        },)+];
    };
}

goldens!(
    "bert" "clap" "clip" "detr" "llama" "llava" "llava_next" "qwen2" "qwen3" "t5" "vit" "wav2vec2" "whisper" "xclip"
);

/// The golden of a class.
pub(super) fn golden(class: &str) -> Option<&'static Golden> {
    GOLDENS.iter().find(|golden| golden.class == class)
}

impl Golden {
    /// The answer.
    pub(super) const fn expected(&self) -> Bytes {
        Bytes::from_static(self.expected)
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::MODELS;

    #[test]
    fn every_class_has_its_golden() {
        for model in &MODELS {
            assert!(super::golden(model.name).is_some(), "{}", model.name);
        }
    }
}
