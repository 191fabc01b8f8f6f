//! Greedy decoding over a KV cache: one prefill of the prompt, then a token at a time.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::run::Runner;
use crate::tensor::{NamedTensors, Tensor};

/// The shapes of one generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) prompt: usize,
    /// Positions in the cache. The last new token is never fed back, so it needs none.
    pub(super) context: usize,
    new: usize,
}

impl Plan {
    pub(super) fn new(inputs: &NamedTensors, new: usize) -> Result<Self> {
        match inputs.get("input_ids").map(Tensor::shape) {
            Some(&[batch, prompt]) => Ok(Self { batch, prompt, context: prompt + new - 1, new }),
            _ => Err(Error::input("input_ids", "generation starts from [batch, tokens]")),
        }
    }
}

impl<B: Backend> Runner<'_, B> {
    /// Gives the prompt's `logits` and `generated_ids [batch, prompt + new]`, the prompt first.
    pub(super) async fn generate(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let plan = Plan::new(inputs, self.options.max_new_tokens)?;
        let prompt = inputs["input_ids"].as_i32();
        let mut rows: Vec<Vec<i32>> = prompt.chunks_exact(plan.prompt).map(<[i32]>::to_vec).collect();
        self.backend.reset();
        let mut fed = inputs.clone();
        fed.insert("position".into(), Tensor::i32([1], vec![0]));
        let program = self.step_program(plan.batch, plan.prompt, plan.context).await?;
        let mut outputs = self.backend.run(program, &fed).await?;
        let mut next = last_tokens(&outputs["logits"])?;
        let program = self.step_program(plan.batch, 1, plan.context).await?;
        for made in 1..=plan.new {
            for (row, &token) in rows.iter_mut().zip(&next) {
                row.push(token);
            }
            if made == plan.new {
                break;
            }
            let step = NamedTensors::from([
                ("input_ids".to_owned(), Tensor::i32([plan.batch, 1], next)),
                ("position".to_owned(), Tensor::i32([1], vec![(plan.prompt + made - 1) as i32])),
            ]);
            next = last_tokens(&self.backend.run(program, &step).await?["logits"])?;
        }
        let width = plan.prompt + plan.new;
        outputs.insert("generated_ids".into(), Tensor::i32([plan.batch, width], rows.concat()));
        Ok(outputs)
    }
}

/// The likeliest token after each row's last position; the lower id wins a tie, as in PyTorch.
fn last_tokens(logits: &Tensor) -> Result<Vec<i32>> {
    let &[_, tokens, vocabulary] = logits.shape() else {
        unreachable!("logits are [batch, tokens, vocabulary]")
    };
    logits
        .as_f32()
        .chunks_exact(tokens * vocabulary)
        .map(|row| {
            let last = &row[(tokens - 1) * vocabulary..];
            if last.iter().any(|v| v.is_nan()) {
                return Err(Error::Device {
                    backend: "model",
                    reason: "logits hold NaN: there is no likeliest token".into(),
                });
            }
            let best = (1..last.len()).fold(0, |best, i| if last[i] > last[best] { i } else { best });
            Ok(best as i32)
        })
        .collect()
}
