//! How many tokens an answer asks a model to generate.

use safetensors::SafeTensors;

use crate::plan::ModelClass;

/// The tensor of an answer that holds generated tokens, `[batch, tokens]`.
const GENERATED: &str = "generated_ids";
/// The input that a decoder continues.
const PROMPT: &str = "input_ids";

/// Whether generation starts from one start token, as in encoder-decoder classes, whose `input_ids`
/// (if they have any) are the encoder's. The others continue their prompt.
fn starts_from_one_token(class: ModelClass) -> bool {
    matches!(class.as_str(), "t5" | "whisper")
}

/// How many tokens the answer generates: those that `generated_ids` holds beyond what it starts with.
/// An answer without that tensor asks for none.
///
/// # Errors
/// If `generated_ids` does not fit the inputs.
pub(super) fn new_tokens(class: ModelClass, inputs: &[u8], expected: &[u8]) -> Result<u32, String> {
    let parse = |what: &str, bytes| {
        SafeTensors::deserialize(bytes)
            .map_err(|error| format!("the {what} are no safetensors file: {error}"))
    };
    let expected = parse("expected outputs", expected)?;
    let Ok(generated) = expected.tensor(GENERATED) else { return Ok(0) };
    let &[rows, width] = generated.shape() else {
        return Err(format!("{GENERATED} has shape {:?} where [batch, tokens] belongs", generated.shape()));
    };
    let start = if starts_from_one_token(class) {
        1
    } else {
        let inputs = parse("inputs", inputs)?;
        let prompt = inputs
            .tensor(PROMPT)
            .map_err(|_| format!("{GENERATED} continues {PROMPT}, which the inputs do not hold"))?;
        match *prompt.shape() {
            [batch, tokens] if batch == rows => tokens,
            _ => {
                let (generated, prompt) = (generated.shape(), prompt.shape());
                return Err(format!("{GENERATED} {generated:?} does not continue {PROMPT} {prompt:?}"));
            }
        }
    };
    match width.checked_sub(start) {
        Some(new) if new > 0 => u32::try_from(new).map_err(|error| format!("{GENERATED}: {error}")),
        _ => Err(format!(
            "{GENERATED} is {width} tokens wide and starts with {start}: it holds no generated token"
        )),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, tensor::TensorView};

    use super::*;

    fn file(name: &str, shape: &[usize]) -> Vec<u8> {
        let bytes = vec![0; 8 * shape.iter().product::<usize>()];
        let view =
            TensorView::new(Dtype::I64, shape.to_vec(), &bytes).unwrap_or_else(|error| panic!("{error}"));
        safetensors::serialize([(name, view)], None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tokens(class: &str, prompt: &[usize], generated: &[usize]) -> Result<u32, String> {
        let class = class.parse().unwrap_or_else(|error| panic!("{error}"));
        new_tokens(class, &file(PROMPT, prompt), &file(GENERATED, generated))
    }

    #[test]
    fn decoders_continue_the_prompt_and_encoder_decoders_a_start_token() {
        assert_eq!(tokens("llama", &[1, 16], &[1, 32]), Ok(16));
        assert_eq!(tokens("llava", &[1, 26], &[1, 38]), Ok(12));
        assert_eq!(tokens("t5", &[1, 16], &[1, 13]), Ok(12));
        let whisper = "whisper".parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(new_tokens(whisper, &file("audio", &[9]), &file(GENERATED, &[1, 13])), Ok(12));
        assert_eq!(new_tokens(whisper, &file("audio", &[9]), &file("logits", &[1])), Ok(0));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_refused() {
        let faults = [
            tokens("llama", &[1, 16], &[1, 16]),
            tokens("llama", &[1, 16], &[1, 4]),
            tokens("llama", &[2, 16], &[1, 32]),
            tokens("llama", &[1, 16], &[32]),
            tokens("t5", &[1, 16], &[1, 0]),
        ];
        let faults: Vec<String> = faults.into_iter().map(|fault| fault.err().unwrap_or_default()).collect();
        insta::assert_snapshot!(faults.join("\n"), @r"
        generated_ids is 16 tokens wide and starts with 16: it holds no generated token
        generated_ids is 4 tokens wide and starts with 16: it holds no generated token
        generated_ids [1, 32] does not continue input_ids [2, 16]
        generated_ids has shape [32] where [batch, tokens] belongs
        generated_ids is 0 tokens wide and starts with 1: it holds no generated token
        ");
    }
}
