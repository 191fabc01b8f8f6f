//! What a cell needs before anything is sent to work: its model at its precision, the work, and what it is judged by.

use std::sync::Arc;

use bytes::Bytes;
use webmatrix_engine::plan::caches::Caches;
use webmatrix_wire::{CellJob, Precision};

use super::Lane;
use crate::collect::material::Material;
use crate::collect::quantisation::Quantisation;
use crate::collect::quantised::Quantised;
use crate::collect::source::{self, Answer};
use crate::plan::{Cell, ModelClass};

/// A cell that can be tried.
pub(super) struct Prepared<'c> {
    pub(super) cell: &'c Cell,
    pub(super) material: Material,
    pub(super) work: CellJob,
    pub(super) judged_by: JudgedBy,
    /// Texts that it is given to be scored by, as tokens.
    pub(super) texts: Option<Vec<Vec<i64>>>,
    /// What was done to weights and caches, and the answer without; none where that is the cell's own.
    pub(super) quantised: Option<(Arc<Quantisation>, Answer)>,
}

/// Where the answer to a cell's outputs comes from.
pub(super) enum JudgedBy {
    /// An answer that stands before the outputs come.
    Answer(Answer),
    /// The oracle's answer to the caches that the outputs tell of.
    Kept,
}

impl Prepared<'_> {
    /// Whether there will be an answer: where there is nothing to compare with, a further try changes nothing.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(&self.judged_by, JudgedBy::Answer(answer) if answer.is_err())
    }

    /// The answer to these outputs; computing it may take long, and blocks nobody.
    pub(super) async fn reference(&self, outputs: Option<&Bytes>) -> Answer {
        match (&self.judged_by, outputs) {
            (JudgedBy::Answer(answer), _) => Arc::clone(answer),
            (JudgedBy::Kept, None) => {
                Arc::new(Err("no caches were told, which the answer starts from".into()))
            }
            (JudgedBy::Kept, Some(outputs)) => {
                let (work, material, outputs) = (self.work.clone(), self.material.clone(), outputs.clone());
                let answer =
                    tokio::task::spawn_blocking(move || source::adopting(&work, &material, &outputs)).await;
                Arc::new(answer.unwrap_or_else(|error| Err(format!("the oracle failed: {error}"))))
            }
        }
    }
}

impl Lane<'_> {
    /// What the cell needs, or why it cannot be had; none if the run was stopped meanwhile.
    pub(super) async fn prepared<'c>(&self, cell: &'c Cell) -> Option<Result<Prepared<'c>, String>> {
        self.ctx.stop.unless(self.prepare(cell)).await
    }

    async fn prepare<'c>(&self, cell: &'c Cell) -> Result<Prepared<'c>, String> {
        let material = self.ctx.sources.material(cell, self.ctx.settings.run.seed);
        let mut material = material.map_err(|error| error.to_string())?;
        let plain =
            CellJob { precision: Precision::Fp32, features: Vec::new(), ..self.work(cell, &material) };
        let mut quantised = None;
        // A file is of its own precision: nothing is done to it.
        let class = cell.model.class().filter(|_| cell.precision != Precision::Fp32);
        if let Some(class) = class {
            let full = self.full(cell, &plain, &material).await;
            let made = self.quantise(class, cell, &material).await?;
            material = made.material;
            quantised = Some((made.how, full));
        }
        let work = self.work(cell, &material);
        let judged_by = match Caches::asked(&work.features) {
            None => JudgedBy::Answer(self.answer(cell, &work, &material).await),
            Some(caches) => {
                let (how, full) = match quantised {
                    Some((how, full)) => (Arc::unwrap_or_clone(how), full),
                    None => (Quantisation::none(), self.full(cell, &plain, &material).await),
                };
                quantised = Some((Arc::new(Quantisation { caches: Some(caches.to_string()), ..how }), full));
                JudgedBy::Kept
            }
        };
        let texts = self.ctx.sources.scored(cell, self.ctx.settings.run.seed);
        Ok(Prepared { cell, material, work, judged_by, texts, quantised })
    }

    /// The answer at full precision.
    async fn full(&self, cell: &Cell, plain: &CellJob, material: &Material) -> Answer {
        self.answer(&Cell { precision: Precision::Fp32, ..cell.clone() }, plain, material).await
    }

    /// The independent answer; computing one may take long, and blocks nobody.
    pub(super) async fn answer(&self, cell: &Cell, work: &CellJob, material: &Material) -> Answer {
        let (sources, cell, work, material) =
            (self.ctx.sources.clone(), cell.clone(), work.clone(), material.clone());
        tokio::task::spawn_blocking(move || sources.reference(&cell, &work, &material))
            .await
            .unwrap_or_else(|error| Arc::new(Err(format!("the oracle failed: {error}"))))
    }

    /// The cell's model at its precision; making it may take long, and blocks nobody.
    async fn quantise(&self, class: ModelClass, cell: &Cell, plain: &Material) -> Result<Quantised, String> {
        let (sources, plain, stop) = (self.ctx.sources.clone(), plain.clone(), self.ctx.stop.clone());
        let (features, cell) = (self.work(cell, &plain).features, cell.clone());
        tokio::task::spawn_blocking(move || sources.quantised(class, &cell, &features, &plain, &stop))
            .await
            .unwrap_or_else(|error| Err(format!("quantising failed: {error}")))
    }
}
