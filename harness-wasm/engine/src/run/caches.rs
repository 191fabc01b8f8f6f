//! Packed caches told with the outputs, and another's taken over: how a rounding that two devices may do differently is judged.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder};
use crate::models::{Model, Prompt};
use crate::plan::caches::{given, is_apart, untold};
use crate::run::{Key, Program, Runner};
use crate::tensor::{NamedTensors, Tensor};

/// What the outputs that are caches begin with.
const KEPT: &str = "cache/";

/// What programs have told so far, by the states' names.
pub(super) type Told = BTreeMap<String, Vec<Tensor>>;

impl<B: Backend> Runner<'_, B> {
    /// Takes over, from the outputs of another's inference, how it rounded its caches, wherever that is right.
    #[must_use]
    pub fn adopting(mut self, outputs: &NamedTensors) -> Self {
        let kept =
            |(name, tensor): (&String, &Tensor)| Some((given(name.strip_prefix(KEPT)?), tensor.clone()));
        self.adopted = Some(outputs.iter().filter_map(kept).collect());
        self
    }

    pub(super) fn check_caches(&self) -> Result<()> {
        match self.options.caches.and_then(|_| no_packed_caches(self.model)) {
            None => Ok(()),
            Some(why) => Err(Error::Unsupported { backend: "packed caches", reason: why.to_owned() }),
        }
    }

    /// What was written into packed caches at the last inference, which these were the inputs of, by `cache/` and the state's
    /// name; nothing of caches that are not packed. Where some of it was written over, in a ring or by the generation of an
    /// encoder-decoder, the inference is made once more, by programs that tell.
    ///
    /// # Errors
    /// If the device refuses.
    pub async fn kept(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        match self.last.clone().filter(|_| self.options.caches.is_some()) {
            None => Ok(NamedTensors::new()),
            Some(_) if self.overwrites() => Ok(self.tell(inputs).await?.1),
            Some(last) => {
                let program = self.kept_program(&last).await?;
                self.backend.run(program.id, &NamedTensors::new()).await
            }
        }
    }

    /// An inference, with what [`Self::kept`] tells of it.
    ///
    /// # Errors
    /// If an input, a weight or the device refuses.
    pub async fn infer_kept(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        // Telling from the first saves whoever computes slowly an inference.
        let (mut outputs, kept) = if self.writes_twice() {
            self.tell(inputs).await?
        } else {
            (self.infer(inputs).await?, self.kept(inputs).await?)
        };
        outputs.extend(kept);
        Ok(outputs)
    }

    /// Whether caches write over what [`Self::kept`] tells, so that it takes an inference of its own.
    pub fn overwrites(&self) -> bool {
        let rings = self.last.as_ref().is_some_and(|last| last.rings.is_some());
        self.writes_twice() || self.options.caches.is_some() && rings
    }

    /// Whether generation writes over the rows of packed caches that the forward pass wrote: that of an encoder-decoder
    /// begins anew.
    pub(super) fn writes_twice(&self) -> bool {
        let begins = |prompt| matches!(prompt, Prompt::Start(_));
        self.options.caches.is_some() && self.generates().is_some_and(|decoder| begins(decoder.prompt()))
    }

    /// Rows of the widest cache that is a ring, and bytes that all rings take together, whatever the context; none where no
    /// cache is one.
    pub fn rings(&self) -> Option<(usize, usize)> {
        self.last.as_ref().and_then(|last| last.rings)
    }

    /// Bytes of states that an encoder's result is kept as, of as many as the backend holds now: some hold every state twice.
    pub fn encoded_bytes(&self) -> u64 {
        let Some(last) = &self.last else { return 0 };
        let all: usize = last.states.iter().map(|(_, ty)| ty.bytes()).sum();
        let held = u128::from(self.backend.held().states);
        (held * last.encoded as u128).checked_div(all as u128).map_or(0, |bytes| bytes as u64)
    }

    /// Compiles what [`Self::kept`] runs after this program. What tells is left for later: it belongs to no inference.
    pub(super) async fn compile_kept(&mut self, left: &Program) -> Result<()> {
        if self.options.caches.is_some() && left.rings.is_none() && !self.writes_twice() {
            self.kept_program(left).await?;
        }
        Ok(())
    }

    /// Runs a program; what it tells besides is put aside.
    pub(super) async fn run(&mut self, program: &Program, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut outputs = self.backend.run(program.id, inputs).await?;
        if let Some(gathered) = &mut self.told {
            for (name, rows) in outputs.extract_if(.., |name, _| untold(name).is_some()) {
                gathered.entry(untold(&name).unwrap_or_default().to_owned()).or_default().push(rows);
            }
        }
        Ok(outputs)
    }

    /// The outputs of an inference, and the rows that it writes, put together as a whole cache has them.
    async fn tell(&mut self, inputs: &NamedTensors) -> Result<(NamedTensors, NamedTensors)> {
        let positions = self.cache_positions(inputs)?;
        self.told = Some(Told::new());
        let inferred = self.infer(inputs).await;
        let gathered = self.told.take().unwrap_or_default();
        let whole = |(name, rows): (String, Vec<Tensor>)| {
            let positions = if is_apart(&name) { 0 } else { positions };
            (format!("{KEPT}{name}"), joined(&rows, positions))
        };
        Ok((inferred?, gathered.into_iter().map(whole).collect()))
    }

    async fn kept_program(&mut self, left: &Program) -> Result<Rc<Program>> {
        let key = Key::Kept(left.states.iter().map(|(name, ty)| (name.clone(), ty.shape.clone())).collect());
        if let Some(program) = self.programs.get(&key) {
            return Ok(Rc::clone(program));
        }
        let graph = kept(self.weights, left);
        let id = self.backend.compile(&graph, self.weights).await?;
        let program =
            Rc::new(Program { id, inputs: Vec::new(), states: Vec::new(), rings: None, encoded: 0 });
        self.programs.insert(key, Rc::clone(&program));
        Ok(program)
    }
}

/// Why a model's caches cannot be packed, if they cannot.
pub fn no_packed_caches(model: &dyn Model) -> Option<&'static str> {
    model.decoder().is_none().then_some("the class has no caches of keys and values")
}

/// Rows `[batch, tokens, width]` one after another, with zeros behind them up to as many `positions` as all sequences have
/// together.
fn joined(rows: &[Tensor], positions: usize) -> Tensor {
    let (batch, width) = (rows[0].shape()[0], rows[0].shape()[2]);
    let written: usize = rows.iter().map(|rows| rows.shape()[1]).sum();
    let context = written.max(positions / batch);
    let mut out = Vec::with_capacity(batch * context * width);
    for b in 0..batch {
        for rows in rows {
            let each = rows.shape()[1] * width;
            out.extend_from_slice(&rows.as_i32()[b * each..][..each]);
        }
        out.resize((b + 1) * context * width, 0);
    }
    Tensor::i32([batch, context, width], out)
}

/// A graph whose outputs are the states.
fn kept(weights: &crate::weights::Weights, left: &Program) -> Graph {
    let mut b = GraphBuilder::new(weights);
    for (name, ty) in &left.states {
        let state = b.state(name, ty.dtype, ty.shape.clone());
        b.output(&format!("{KEPT}{name}"), state);
    }
    b.finish()
}
