//! Starts the browsers of this machine by label.

use std::path::PathBuf;

use async_trait::async_trait;

use super::args::LaunchArgs;
use crate::collect::Launcher;
use crate::discover::Installed;
use crate::session::{self, LaunchSpec, NoSandbox, Session};

/// Starts what discovery found, as the arguments ask.
#[derive(Debug)]
pub(super) struct LocalLauncher {
    pub(super) installed: Vec<Installed>,
    pub(super) launch: LaunchArgs,
    pub(super) log_folder: PathBuf,
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn start(&self, browser: &str) -> Result<Box<dyn Session>, String> {
        let installed = self.installed.iter().find(|installed| installed.label == browser);
        let installed = installed.ok_or_else(|| format!("{browser} is no longer on this machine"))?;
        let mut spec = LaunchSpec::new(installed.clone(), self.log_folder.clone());
        spec.headless = !self.launch.headed;
        spec.hardware_gpu = self.launch.hardware_gpu;
        if self.launch.no_sandbox {
            spec.no_sandbox = NoSandbox::Always;
        }
        session::start(&spec).await.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }
}
