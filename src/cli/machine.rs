//! Facts about this machine that results depend on.

use std::collections::BTreeMap;

/// Name to value; what cannot be found out is left out.
pub(super) fn facts() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("os".to_owned(), std::env::consts::OS.to_owned()),
        ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
    ]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    add("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    add("cpu", line_of("/proc/cpuinfo", "model name"));
    add("memory", line_of("/proc/meminfo", "MemTotal"));
    add("system", line_of("/etc/os-release", "PRETTY_NAME").map(|name| name.trim_matches('"').to_owned()));
    add(
        "kernel",
        std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
    );
    facts
}

/// The value of the first `key: value` or `key=value` line of a file.
fn line_of(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once([':', '='])?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}
