//! What a session keeps on this machine: its folder, its processes, its display, its log.

use std::time::Duration;

use tempfile::TempDir;

use crate::discover::DriverKind;
use crate::plan::axis::BrowserKind;
use crate::session::SessionError;
use crate::session::display::Display;
use crate::session::driver::{self, Running};
use crate::session::log::Log;
use crate::session::process::{self, Group};
use crate::session::spec::LaunchSpec;

/// The session's share of this machine. [`Local::end`] gives all of it back; dropping it does too, but
/// does not wait.
///
/// The order of the fields is the order of their ends: first the processes, then what they used.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) group: Group,
    display: Option<Display>,
    folder: TempDir,
    pub(super) log: Log,
}

impl Local {
    /// Makes the folder and the log; nothing runs yet.
    pub(super) fn new(spec: &LaunchSpec) -> Result<Self, SessionError> {
        let folder = tempfile::Builder::new()
            .prefix("webmatrix-")
            .tempdir()
            .map_err(SessionError::io("make a folder for the browser's profile"))?;
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy();
        let path = spec.log_folder.join(format!("{}-{name}.log", spec.browser.label));
        let log = Log::create(&path).map_err(SessionError::io(format!("write {}", path.display())))?;
        Ok(Self { group: Group::new(folder.path()), display: None, folder, log })
    }

    /// Starts the driver, with a display if the browser needs one. Also returns the environment that
    /// was set.
    pub(super) async fn start_driver(
        &mut self,
        spec: &LaunchSpec,
    ) -> Result<(Running, Vec<(String, String)>), SessionError> {
        let Some(wanted) = &spec.browser.driver else {
            let driver = DriverKind::of(spec.browser.kind);
            return Err(SessionError::Unusable {
                label: spec.browser.label.clone(),
                problem: format!("{driver} was not found"),
            });
        };
        if needs_display(spec) {
            self.display = Some(Display::start(&self.group, &self.log, spec.deadlines.driver).await?);
        }
        let environment = self.environment(spec.browser.kind);
        let folder = self.folder.path();
        let running =
            driver::start(wanted, &self.group, &self.log, folder, &environment, spec.deadlines.driver)
                .await?;
        Ok((running, environment))
    }

    /// Variables for driver and browser: everything temporary goes into the session's folder.
    fn environment(&self, kind: BrowserKind) -> Vec<(String, String)> {
        let folder = self.folder.path().display().to_string();
        let temporary: &[&str] = if cfg!(windows) { &["TEMP", "TMP"] } else { &["TMPDIR"] };
        let homes: &[&str] = match kind {
            // Chromium keeps its crash database outside of the profile.
            BrowserKind::Chrome | BrowserKind::Chromium | BrowserKind::Edge => &["CHROME_CONFIG_HOME"],
            // WebKitGTK has no profile argument.
            BrowserKind::WebKitGtk => &["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"],
            BrowserKind::Firefox | BrowserKind::Safari => &[],
        };
        let folders = temporary.iter().chain(homes);
        let mut environment: Vec<_> = folders.map(|&name| (name.to_owned(), folder.clone())).collect();
        if kind == BrowserKind::WebKitGtk {
            // Without it, pages have no shared memory, and so no threads.
            environment.push(("JSC_useSharedArrayBuffer".to_owned(), "1".to_owned()));
        }
        if let Some(display) = &self.display {
            environment.push(("DISPLAY".to_owned(), display.name()));
        }
        environment
    }

    /// Ends everything and removes the folder. Returns the processes that had left the group and had
    /// to be killed one by one.
    pub(super) async fn end(self, deadline: Duration) -> Vec<u32> {
        let Self { group, display, folder, log } = self;
        if !group.end(deadline).await {
            tracing::warn!(log = %log.path().display(), "a browser's processes outlive their kill");
        }
        drop(group);
        drop(display);
        let strays = process::end_strays(&folder.path().display().to_string(), deadline).await;
        if let Err(error) = folder.close() {
            tracing::debug!(%error, "a profile was not removed");
        }
        strays
    }
}

/// MiniBrowser has no headless mode; a window nobody asked for belongs on a screen nobody sees.
fn needs_display(spec: &LaunchSpec) -> bool {
    let wants_own = spec.headless || std::env::var_os("DISPLAY").is_none();
    spec.browser.kind == BrowserKind::WebKitGtk && wants_own
}
