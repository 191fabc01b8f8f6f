//! Packed caches told with the outputs, and another's taken over: how a rounding that two devices may do differently is judged.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::ir::{Graph, GraphBuilder};
use crate::models::{Model, Prompt};
use crate::plan::caches::{given, told};
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
    /// name; nothing of caches that are not packed. Rings have written over some of it: then the inference is made once more, by
    /// programs that tell.
    ///
    /// # Errors
    /// If the device refuses.
    pub async fn kept(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        match self.last.clone().filter(|_| self.options.caches.is_some()) {
            None => Ok(NamedTensors::new()),
            Some(last) if last.rings.is_some() => self.tell(inputs).await,
            Some(last) => {
                let program = self.kept_program(&last).await?;
                self.backend.run(program.id, &NamedTensors::new()).await
            }
        }
    }

    /// Whether caches write over what [`Self::kept`] tells, so that it takes an inference of its own.
    pub fn overwrites(&self) -> bool {
        self.options.caches.is_some() && self.last.as_ref().is_some_and(|last| last.rings.is_some())
    }

    /// Rows of the widest cache that is a ring, and bytes that all rings take together, whatever the context; none where no
    /// cache is one.
    pub fn rings(&self) -> Option<(usize, usize)> {
        self.last.as_ref().and_then(|last| last.rings)
    }

    /// Compiles what [`Self::kept`] runs after this program. What tells is left for later: it belongs to no inference.
    pub(super) async fn compile_kept(&mut self, left: &Program) -> Result<()> {
        if self.options.caches.is_some() && left.rings.is_none() {
            self.kept_program(left).await?;
        }
        Ok(())
    }

    /// Runs a program; what it tells besides is put aside.
    pub(super) async fn run(&mut self, program: &Program, inputs: &NamedTensors) -> Result<NamedTensors> {
        let mut outputs = self.backend.run(program.id, inputs).await?;
        if let Some(gathered) = &mut self.told {
            for (name, _) in &program.states {
                if let Some(rows) = outputs.remove(&told(name)) {
                    gathered.entry(name.clone()).or_default().push(rows);
                }
            }
        }
        Ok(outputs)
    }

    /// An inference that tells the rows that it writes, put together as a whole cache has them.
    async fn tell(&mut self, inputs: &NamedTensors) -> Result<NamedTensors> {
        let positions = self.cache_positions(inputs)?;
        self.told = Some(Told::new());
        let inferred = self.infer(inputs).await;
        let gathered = self.told.take().unwrap_or_default();
        inferred?;
        let whole = |(name, rows): (String, Vec<Tensor>)| (format!("{KEPT}{name}"), joined(&rows, positions));
        Ok(gathered.into_iter().map(whole).collect())
    }

    async fn kept_program(&mut self, left: &Program) -> Result<Rc<Program>> {
        let key = Key::Kept(left.states.iter().map(|(name, ty)| (name.clone(), ty.shape.clone())).collect());
        if let Some(program) = self.programs.get(&key) {
            return Ok(Rc::clone(program));
        }
        let graph = kept(self.weights, left);
        let id = self.backend.compile(&graph, self.weights).await?;
        let program = Rc::new(Program { id, inputs: Vec::new(), states: Vec::new(), rings: None });
        self.programs.insert(key, Rc::clone(&program));
        Ok(program)
    }
}

/// Why a model's caches cannot be packed, if they cannot: rows that are written twice could not be told apart afterwards.
pub fn no_packed_caches(model: &dyn Model) -> Option<&'static str> {
    match model.decoder().map(|decoder| decoder.prompt()) {
        Some(Prompt::Given) => None,
        None => Some("the class has no caches of keys and values"),
        Some(Prompt::Start(_)) => {
            Some("forward pass and generation of an encoder-decoder write the same rows of its caches")
        }
    }
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
