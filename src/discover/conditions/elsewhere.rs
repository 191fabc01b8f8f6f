//! Where there is no `/proc`: as the system's own calls tell.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Conditions, browsers};

/// How long Windows is watched, which counts no processes that want to run.
const WATCH: std::time::Duration = std::time::Duration::from_millis(250);

/// Load, battery and browsers; governors and temperatures are not seen.
pub(super) fn seen() -> Conditions {
    let load = load();
    let on_battery = on_battery();
    let Ok(mut system) = System::new() else {
        return Conditions { load, on_battery, ..Conditions::default() };
    };
    system.refresh_processes_specifics(
        ProcessesToUpdate::All,
        true,
        ProcessRefreshKind::nothing().without_tasks(),
    );
    let processes = system.processes().values().filter(|process| process.thread_kind().is_none());
    let name = |name: std::borrow::Cow<'_, str>| name.strip_suffix(".exe").unwrap_or(&name).to_owned();
    Conditions {
        load,
        on_battery,
        browsers: browsers(processes.map(|process| name(process.name().to_string_lossy()))),
        ..Conditions::default()
    }
}

fn load() -> Option<f64> {
    if !cfg!(windows) {
        return System::load_average().ok().map(|load| load.one);
    }
    let mut system = System::new().ok()?;
    system.refresh_cpu_usage();
    std::thread::sleep(WATCH);
    system.refresh_cpu_usage();
    Some(f64::from(system.global_cpu_usage()) / 100.0 * system.cpus().len() as f64)
}

#[cfg(not(target_os = "linux"))]
fn on_battery() -> Option<bool> {
    let batteries = starship_battery::Manager::new().ok()?.batteries().ok()?;
    let discharges =
        |battery: starship_battery::Battery| battery.state() == starship_battery::State::Discharging;
    batteries.flatten().map(discharges).reduce(|one, other| one || other)
}

/// Linux's own files are read instead.
#[cfg(target_os = "linux")]
fn on_battery() -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn it_sees_what_linux_files_tell() {
        let here = std::process::Command::new("sleep").arg("60").spawn();
        let mut here = here.unwrap_or_else(|error| panic!("{error}"));
        let (files, calls) = (Conditions::under(Path::new("/")), seen());
        let killed = here.kill().and_then(|()| here.wait());
        let (a, b) = (files.load.unwrap_or_else(|| panic!("no load")), calls.load.unwrap_or(f64::NAN));
        // Read one after the other: it may have changed between, by one of many moments.
        assert!((a - b).abs() <= 0.2 + 0.1 * a, "{a} {b}");
        assert!(killed.is_ok());
        // Other tests start and end browsers meanwhile.
        assert!(calls.browsers.keys().all(|name| super::super::BROWSERS.contains(&name.as_str())));
    }
}
