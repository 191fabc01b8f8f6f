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

impl LocalLauncher {
    /// How a browser is started; why it cannot be, if it is not here.
    pub(super) fn spec(&self, browser: &str) -> Result<LaunchSpec, String> {
        let installed = self.installed.iter().find(|installed| installed.label == browser);
        let installed = installed.ok_or_else(|| format!("{browser} is no longer on this machine"))?;
        let mut spec = LaunchSpec::new(installed.clone(), self.log_folder.clone());
        spec.headless = !self.launch.headed;
        spec.hardware_gpu = self.launch.hardware_gpu;
        spec.without.clone_from(&self.launch.without);
        if self.launch.no_sandbox {
            spec.no_sandbox = NoSandbox::Always;
        }
        Ok(spec)
    }
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn start(&self, browser: &str) -> Result<Box<dyn Session>, String> {
        session::start(&self.spec(browser)?).await.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }
}
