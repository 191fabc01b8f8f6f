//! What the machine is doing while it measures: whatever makes times say less than they seem to.
//!
//! Read from Linux's files, and elsewhere by the system's own calls. What cannot be seen is not claimed.

#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;

use std::collections::{BTreeMap, BTreeSet};
#[cfg(any(test, target_os = "linux"))]
use std::path::Path;

/// Programs that are browsers, as Linux shortens their names, as Windows calls them without `.exe`, and as macOS does.
const BROWSERS: [&str; 14] = [
    "chrome",
    "chromium",
    "msedge",
    "firefox",
    "firefox-bin",
    "firefox-esr",
    "MiniBrowser",
    "epiphany",
    "brave",
    "Google Chrome",
    "Chromium",
    "Microsoft Edge",
    "Safari",
    "Brave Browser",
];
/// Processes that want to run, by core, above which times are those of a queue.
const BUSY: f64 = 0.5;
/// Degrees Celsius at which processors begin to slow down.
const HOT: f64 = 85.0;

/// What the machine is doing; what cannot be seen is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Processes that wanted to run over the last minute, on average; on Windows, cores that were busy just now.
    pub load: Option<f64>,
    /// Cores to run them.
    pub cores: usize,
    /// How the kernel chooses the processor's speed; several if cores differ.
    pub governors: BTreeSet<String>,
    /// Whether it runs on its battery.
    pub on_battery: Option<bool>,
    /// Of the hottest zone, in degrees Celsius.
    pub temperature: Option<f64>,
    /// Browsers that run, none of them ours, by program.
    pub browsers: BTreeMap<String, usize>,
}

impl Conditions {
    /// Of this machine, before any browser of ours is started.
    pub fn here() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cores, ..Self::seen() }
    }

    #[cfg(target_os = "linux")]
    fn seen() -> Self {
        Self::under(Path::new("/"))
    }

    #[cfg(not(target_os = "linux"))]
    fn seen() -> Self {
        elsewhere::seen()
    }

    /// As the files under a folder tell.
    #[cfg(any(test, target_os = "linux"))]
    fn under(root: &Path) -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let inside = |folder: &str| -> Vec<std::path::PathBuf> {
            let entries = std::fs::read_dir(root.join(folder)).ok();
            entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
        };
        let load = read(&root.join("proc/loadavg"));
        let supplies = inside("sys/class/power_supply");
        let of_supplies = |file: &str| -> Vec<String> {
            supplies.iter().filter_map(|supply| read(&supply.join(file))).collect()
        };
        let (status, mains) = (of_supplies("status"), of_supplies("online"));
        let discharging = status.iter().any(|status| status == "Discharging");
        let zones = inside("sys/class/thermal").into_iter().filter_map(|zone| read(&zone.join("temp")));
        let degrees = zones.filter_map(|text| Some(text.parse::<f64>().ok()? / 1000.0));
        let names = inside("proc").into_iter().filter_map(|process| read(&process.join("comm")));
        Self {
            load: load.and_then(|text| text.split_whitespace().next()?.parse().ok()),
            cores: 1,
            governors: inside("sys/devices/system/cpu")
                .iter()
                .filter_map(|cpu| read(&cpu.join("cpufreq/scaling_governor")))
                .collect(),
            on_battery: (!status.is_empty() || !mains.is_empty()).then_some(discharging),
            temperature: degrees.filter(|degrees| (0.0..200.0).contains(degrees)).reduce(f64::max),
            browsers: browsers(names),
        }
    }

    /// What makes times say less than they seem to, a sentence each.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        if let Some(load) = self.load.filter(|load| *load > BUSY * self.cores as f64) {
            concerns.push(format!("others compute: the load is {load:.1} on {} cores", self.cores));
        }
        let slow = |governor: &&String| !matches!(governor.as_str(), "performance" | "schedutil");
        if let Some(governor) = self.governors.iter().find(slow) {
            concerns.push(format!("the processor's governor is {governor}: set it to performance"));
        }
        if self.on_battery == Some(true) {
            concerns.push("the machine runs on its battery".to_owned());
        }
        if let Some(degrees) = self.temperature.filter(|degrees| *degrees >= HOT) {
            concerns
                .push(format!("it is hot ({degrees:.0} °C) and may slow down: let it rest with --cool-down"));
        }
        if !self.browsers.is_empty() {
            let names: Vec<String> =
                self.browsers.iter().map(|(name, count)| format!("{name} ({count} processes)")).collect();
            concerns.push(format!("other browsers run: {}", names.join(", ")));
        }
        concerns
    }

    /// What is seen, by name, as it is kept with a run.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                facts.insert(format!("conditions.{name}"), value);
            }
        };
        let list = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
        add("load", self.load.map(|load| load.to_string()));
        add("governor", list(self.governors.iter().cloned().collect()));
        add("battery", self.on_battery.map(|on_battery| on_battery.to_string()));
        add("temperature", self.temperature.map(|degrees| degrees.to_string()));
        add("browsers", list(self.browsers.keys().cloned().collect()));
        add("concerns", list(self.concerns()));
        facts
    }
}

/// How many of these programs are browsers, by program.
fn browsers(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut browsers = BTreeMap::new();
    for name in names.filter(|name| BROWSERS.contains(&name.as_str())) {
        *browsers.entry(name).or_default() += 1;
    }
    browsers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Conditions {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        for (file, text) in files {
            let path = folder.path().join(file);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, text)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        Conditions { cores: 2, ..Conditions::under(folder.path()) }
    }

    #[test]
    fn what_spoils_times_is_told() {
        let busy = machine(&[
            ("proc/loadavg", "3.50 2.00 1.00 5/200 4242\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/class/power_supply/BAT0/status", "Discharging\n"),
            ("sys/class/thermal/thermal_zone0/temp", "91000\n"),
            ("sys/class/thermal/thermal_zone1/temp", "-273000\n"),
            ("proc/12/comm", "firefox\n"),
            ("proc/13/comm", "firefox\n"),
            ("proc/14/comm", "bash\n"),
        ]);
        insta::assert_snapshot!(busy.concerns().join("\n"), @r"
        others compute: the load is 3.5 on 2 cores
        the processor's governor is powersave: set it to performance
        the machine runs on its battery
        it is hot (91 °C) and may slow down: let it rest with --cool-down
        other browsers run: firefox (2 processes)
        ");
        assert_eq!(busy.facts().get("conditions.temperature").map(String::as_str), Some("91"));
    }

    #[test]
    fn a_quiet_machine_and_one_that_tells_nothing_raise_no_concern() {
        let quiet = machine(&[
            ("proc/loadavg", "0.10 0.20 0.30 1/200 4242\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("sys/class/power_supply/AC/online", "1\n"),
            ("sys/class/power_supply/BAT0/status", "Full\n"),
            ("sys/class/thermal/thermal_zone0/temp", "41000\n"),
        ]);
        assert_eq!((quiet.concerns(), quiet.on_battery), (vec![], Some(false)));
        let silent = machine(&[]);
        assert_eq!((silent.concerns(), silent.facts(), silent.on_battery), (vec![], BTreeMap::new(), None));
    }
}
