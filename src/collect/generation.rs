//! How many tokens an answer asks a model to generate.

use safetensors::SafeTensors;
use webmatrix_engine::models::{Config, model};
use webmatrix_engine::run;
use webmatrix_engine::tensor::read_safetensors;

use super::material::{CONFIG, INPUTS};
use crate::plan::ModelClass;

/// The tensor of an answer that holds generated tokens, `[batch, tokens]`.
const GENERATED: &str = "generated_ids";

/// How many tokens the answer generates: those that `generated_ids` holds beyond what the class starts
/// with, its prompt or its start tokens. An answer without that tensor asks for none.
///
/// A model or inputs that cannot be read ask for none either: whoever loads them tells why.
///
/// # Errors
/// If `generated_ids` cannot be what the model generates.
pub(super) fn new_tokens(
    class: ModelClass,
    config: &[u8],
    inputs: &[u8],
    expected: &[u8],
) -> Result<u32, String> {
    let expected = SafeTensors::deserialize(expected)
        .map_err(|error| format!("is not a valid safetensors file ({error})"))?;
    let Ok(generated) = expected.tensor(GENERATED) else { return Ok(0) };
    let model = Config::parse(CONFIG, config).and_then(|config| model(class.as_str(), &config));
    let (Ok(model), Ok(inputs)) = (model, read_safetensors(INPUTS, inputs)) else { return Ok(0) };
    if model.decoder().is_none() {
        return Ok(0);
    }
    let &[_, width] = generated.shape() else {
        return Err(format!("{GENERATED} has shape {:?} where [batch, tokens] belongs", generated.shape()));
    };
    match run::new_tokens(&*model, &inputs, width) {
        0 => Err(format!("{GENERATED} is {width} tokens wide: it ends before the first generated one")),
        new => u32::try_from(new).map_err(|error| format!("{GENERATED}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, tensor::TensorView};

    use super::*;
    use crate::collect::goldens::golden;

    fn file(name: &str, shape: &[usize]) -> Vec<u8> {
        let bytes = vec![0; 8 * shape.iter().product::<usize>()];
        let view =
            TensorView::new(Dtype::I64, shape.to_vec(), &bytes).unwrap_or_else(|error| panic!("{error}"));
        safetensors::serialize([(name, view)], None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tokens(class: &str, output: &str, shape: &[usize]) -> Result<u32, String> {
        let golden = golden(class).unwrap_or_else(|| panic!("no golden of {class}"));
        let class = class.parse().unwrap_or_else(|error| panic!("{error}"));
        new_tokens(class, golden.config, golden.inputs, &file(output, shape))
    }

    #[test]
    fn what_was_given_is_not_generated() {
        assert_eq!(tokens("llama", GENERATED, &[1, 32]), Ok(16));
        assert_eq!(tokens("llama", "logits", &[1, 32]), Ok(0));
        assert_eq!(tokens("bert", GENERATED, &[1, 32]), Ok(0), "it does not generate");
    }

    #[test]
    fn an_answer_that_ends_too_early_is_refused() {
        let faults = [&[1, 16][..], &[1, 4], &[32]].map(|shape| tokens("llama", GENERATED, shape));
        let faults = faults.map(|fault| fault.err().unwrap_or_default());
        insta::assert_snapshot!(faults.join("\n"), @r"
        generated_ids is 16 tokens wide: it ends before the first generated one
        generated_ids is 4 tokens wide: it ends before the first generated one
        generated_ids has shape [32] where [batch, tokens] belongs
        ");
    }
}
