//! What a session should be: the browser, its switches, and how long anything may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::discover::{Installed, Os};

/// Everything that decides how a browser is started.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// The browser and its driver.
    pub browser: Installed,
    /// Without a window. Browsers that have no such mode get a display of their own.
    pub headless: bool,
    /// Chromium's sandbox.
    pub no_sandbox: NoSandbox,
    /// Switch WebGPU on where it is behind a flag.
    pub webgpu: bool,
    /// Switch WebNN on where it is behind a flag.
    pub webnn: bool,
    /// A real GPU with a working driver is there. Without one, Vulkan flags make `requestAdapter()`
    /// wait for ever, so this must not be guessed.
    pub hardware_gpu: bool,
    /// Switches that pages of ordinary users do not have: exact GPU timestamps.
    pub developer_features: bool,
    /// Further arguments for the browser; features among them are merged with ours.
    pub extra_args: Vec<String>,
    /// Further preferences (Firefox), stronger than ours.
    pub prefs: BTreeMap<String, Value>,
    /// Switches and preferences to leave out, as [`super::switches`] names them.
    pub without: Vec<String>,
    /// Where the driver's log is kept.
    pub log_folder: PathBuf,
    /// How long anything may take.
    pub deadlines: Deadlines,
}

impl LaunchSpec {
    /// A headless session with WebGPU and WebNN on, as a run wants it by default.
    pub fn new(browser: Installed, log_folder: PathBuf) -> Self {
        Self {
            browser,
            headless: true,
            no_sandbox: NoSandbox::Auto,
            webgpu: true,
            webnn: true,
            hardware_gpu: false,
            developer_features: false,
            extra_args: Vec::new(),
            prefs: BTreeMap::new(),
            without: Vec::new(),
            log_folder,
            deadlines: Deadlines::default(),
        }
    }
}

/// Whether Chromium runs without its sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoSandbox {
    /// Only for root, who cannot have one.
    #[default]
    Auto,
    /// The user asked for it.
    Always,
    /// Never: as root the browser will then not start.
    Never,
}

/// How long each step may take before it counts as hung.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From starting the driver to its readiness.
    pub driver: Duration,
    /// From asking for a session to having one: a cold browser on a slow disk.
    pub new_session: Duration,
    /// From navigating to the page's `load`.
    pub page_load: Duration,
    /// Any other command.
    pub command: Duration,
    /// The question whether the browser is alive.
    pub health: Duration,
    /// The browser's own orderly end, before it is killed.
    pub close: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            driver: Duration::from_secs(15),
            new_session: Duration::from_secs(60),
            page_load: Duration::from_secs(60),
            command: Duration::from_secs(30),
            health: Duration::from_secs(3),
            close: Duration::from_secs(5),
        }
    }
}

/// Facts about the machine that decide flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The operating system.
    pub os: Os,
    /// Running as root.
    pub root: bool,
    /// `/dev/shm` is too small for a browser that moves tensors between its processes (a container's
    /// default is 64 MiB).
    pub little_shared_memory: bool,
}

impl Surroundings {
    /// The machine this program runs on.
    pub fn here() -> Self {
        Self { os: Os::here(), root: is_root(), little_shared_memory: has_little_shared_memory() }
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn has_little_shared_memory() -> bool {
    const ENOUGH: u64 = 2 << 30;
    rustix::fs::statvfs("/dev/shm").map_or(true, |shm| shm.f_bavail.saturating_mul(shm.f_frsize) < ENOUGH)
}

#[cfg(not(target_os = "linux"))]
fn has_little_shared_memory() -> bool {
    false
}
