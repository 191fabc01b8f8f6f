//! What several tests need.

use webmatrix_engine::Result;
use webmatrix_engine::backend::{Backend, Held, ProgramId, Tally};
use webmatrix_engine::ir::Graph;
use webmatrix_engine::plan::decompose::decompose;
use webmatrix_engine::tensor::NamedTensors;
use webmatrix_engine::weights::Weights;

/// Decomposes every graph before it reaches the backend.
pub(crate) struct Decomposed<B>(pub(crate) B);

impl<B: Backend> Backend for Decomposed<B> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn compile(&mut self, graph: &Graph, weights: &Weights) -> Result<ProgramId> {
        self.0.compile(&decompose(graph)?, weights).await
    }

    async fn run(&mut self, program: ProgramId, inputs: &NamedTensors) -> Result<NamedTensors> {
        self.0.run(program, inputs).await
    }

    fn held(&self) -> Held {
        self.0.held()
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn take_tally(&mut self) -> Tally {
        self.0.take_tally()
    }

    fn dispatches(&self) -> u64 {
        self.0.dispatches()
    }
}
