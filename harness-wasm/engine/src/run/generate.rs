//! Decoding over a KV cache: one prefill of what was given, then a token at a time.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::models::{Decoder, Prompt};
use crate::run::sampling::Chooser;
use crate::run::{Runner, types};
use crate::tensor::{NamedTensors, Tensor};

/// The shapes of one generation.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    batch: usize,
    /// What every sequence starts with.
    start: Vec<Vec<i32>>,
    /// Tokens that a step must take before the first new one, where the prefill did not.
    forced: usize,
    /// Positions in the cache. The last new token is never fed back, so it needs none.
    pub(super) context: usize,
    new: usize,
}

impl Plan {
    pub(super) fn new(decoder: &dyn Decoder, inputs: &NamedTensors, new: usize) -> Result<Self> {
        let prompt = decoder.prompt();
        let tensor = inputs.get(prompt.input());
        let Some((tensor, &[batch, given])) = tensor.map(|tensor| (tensor, tensor.shape())) else {
            return Err(Error::input(prompt.input(), "generation starts from [batch, tokens]"));
        };
        let (start, forced) = match prompt {
            Prompt::Given => (tensor.as_i32().chunks_exact(given).map(<[i32]>::to_vec).collect(), 0),
            Prompt::Start(tokens) => (vec![tokens.clone(); batch], tokens.len()),
        };
        let start: Vec<Vec<i32>> = start;
        // The forward pass goes into the same caches, and may be longer than what is generated.
        let context = given.max(start[0].len() + new - 1);
        let most = decoder.max_context();
        if context > most {
            let reason = format!("prompt and new tokens need {context} positions, the model has {most}");
            return Err(Error::input("max_new_tokens", reason));
        }
        Ok(Self { batch, start, forced, context, new })
    }

    /// Positions of all sequences together.
    pub(super) fn positions(&self) -> usize {
        self.batch * self.context
    }

    /// How many tokens the steps take.
    pub(super) fn steps(&self) -> impl Iterator<Item = usize> {
        let first = Some(self.forced).filter(|&forced| forced > 1);
        first.into_iter().chain((self.new > 1 || self.forced == 1).then_some(1))
    }
}

impl<B: Backend> Runner<'_, B> {
    /// Gives the forward pass's outputs and `generated_ids [batch, start + new]`, the start first. Rows that
    /// end early are filled up with the first end token.
    pub(super) async fn generate(
        &mut self,
        decoder: &dyn Decoder,
        mut inputs: NamedTensors,
        chosen: &mut dyn FnMut(),
    ) -> Result<NamedTensors> {
        let plan = Plan::new(decoder, &inputs, self.options.max_new_tokens)?;
        let token_input = decoder.prompt().input();
        self.backend.reset();
        let given = types(&inputs);
        inputs.insert("position".into(), Tensor::i32([1], vec![0]));
        inputs.extend(self.adopted.clone().unwrap_or_default());
        let prefill = self.prefill_program(decoder, &given, plan.context).await?;
        let mut outputs = self.run(&prefill, &inputs).await?;

        let mut rows = plan.start.clone();
        let mut chooser = Chooser::new(self.options, decoder.end(), plan.batch);
        let mut steps = Vec::with_capacity(2);
        for tokens in plan.steps() {
            steps.push(self.step_program(decoder, &given, tokens, plan.context).await?);
        }
        // Only what steps read again is carried along: pixels and audio are not.
        let mut fed: NamedTensors = inputs
            .into_iter()
            .filter(|(name, _)| steps.iter().any(|step| step.inputs.contains(name)))
            .collect();
        let mut next = if plan.forced == 0 {
            chooser.choose(&outputs["logits"])?
        } else {
            let step = &steps[0];
            fed.insert(token_input.into(), Tensor::i32([plan.batch, plan.forced], plan.start.concat()));
            fed.insert("position".into(), Tensor::i32([1], vec![0]));
            chooser.choose(&self.run(step, &fed).await?["logits"])?
        };
        for made in 1..=plan.new {
            chosen();
            for (row, &token) in rows.iter_mut().zip(&next) {
                row.push(token);
            }
            if made == plan.new || chooser.all_ended() {
                break;
            }
            let step = &steps[steps.len() - 1];
            fed.insert(token_input.into(), Tensor::i32([plan.batch, 1], next));
            fed.insert("position".into(), Tensor::i32([1], vec![(rows[0].len() - 1) as i32]));
            next = chooser.choose(&self.run(step, &fed).await?["logits"])?;
        }
        let width = rows[0].len();
        outputs.insert("generated_ids".into(), Tensor::i32([plan.batch, width], rows.concat()));
        self.last = Some(prefill);
        Ok(outputs)
    }
}
