//! What every part of a run shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::quiet::Quiet;
use super::recorder::Recorder;
use super::source::Sources;
use super::stop::Stop;
use super::verdict::Judge;
use crate::event::Events;
use crate::plan::{Deadlines, Generation, Plan, RunSettings};
use crate::serve::{Attempts, Server};
use crate::session::Session;

/// Starts browsers by label.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// A fresh browser, or why there is none.
    async fn start(&self, browser: &str) -> Result<Box<dyn Session>, String>;
}

/// What every part of a run shares.
pub struct Context {
    /// Where records go.
    pub recorder: Arc<Recorder>,
    /// The server that pages call.
    pub server: Server,
    /// The attempts that it serves.
    pub attempts: Attempts,
    /// Who starts browsers.
    pub launcher: Arc<dyn Launcher>,
    /// Who concludes.
    pub judge: Arc<dyn Judge>,
    /// Where models come from.
    pub sources: Arc<Sources>,
    /// Where events go.
    pub events: Events,
    /// Who wants the run to end.
    pub stop: Stop,
    /// Held while an attempt measures.
    pub quiet: Quiet,
    /// How cells are run.
    pub settings: Settings,
}

/// The parts of a plan that every attempt needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How cells are run.
    pub run: RunSettings,
    /// How classes that generate go on.
    pub generation: Generation,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// The features of each profile.
    pub profiles: BTreeMap<String, Vec<String>>,
}

impl Settings {
    /// A plan's.
    pub fn of(plan: &Plan) -> Self {
        Self {
            run: plan.run,
            generation: plan.generation,
            deadlines: plan.deadlines,
            profiles: plan.profiles.clone(),
        }
    }
}
