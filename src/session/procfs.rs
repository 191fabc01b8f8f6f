//! Processes as Linux shows them. Where there is no `/proc`, `elsewhere` answers what it can, and every other question
//! has an empty answer.

use std::time::Duration;

use serde::Serialize;

/// A running process; zombies are not running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    #[cfg(any(test, target_os = "linux"))]
    pub(super) group: u32,
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
}

/// What a browser's processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// How many processes there are.
    pub processes: usize,
    /// CPU time since their starts: what tells a cell that claims a GPU and computes on the CPU.
    pub cpu: Duration,
    /// Resident memory in bytes, shared pages counted in each process.
    pub resident_bytes: u64,
}

/// Every running process.
#[cfg(target_os = "linux")]
pub(super) fn running() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(one).collect()
}

/// Every running process.
#[cfg(not(target_os = "linux"))]
pub(super) fn running() -> Vec<Process> {
    super::elsewhere::running()
}

/// The running processes of the groups that these lead.
#[cfg(target_os = "linux")]
pub(super) fn of_groups(leaders: &[u32]) -> Vec<Process> {
    running().into_iter().filter(|process| leaders.contains(&process.group)).collect()
}

/// The running processes that these started, and those that they started in turn.
#[cfg(not(target_os = "linux"))]
pub(super) fn of_groups(leaders: &[u32]) -> Vec<Process> {
    super::elsewhere::started_by(leaders)
}

/// A running process.
#[cfg(target_os = "linux")]
fn one(pid: u32) -> Option<Process> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, units()?)
}

/// Whether a process runs: `None` where that cannot be seen.
#[cfg(target_os = "linux")]
pub(super) fn is_running(pid: u32) -> Option<bool> {
    Some(one(pid).is_some())
}

/// Whether a process runs: `None`, since that cannot be seen.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_running(_pid: u32) -> Option<bool> {
    None
}

/// A process's arguments, the program first.
pub(super) fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // A browser's helpers rewrite theirs into one string with spaces; the browser itself does not.
    let args: Vec<_> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    (!args.iter().all(String::is_empty)).then_some(args)
}

/// Running processes whose command line mentions `text`.
pub(super) fn mentioning(text: &str) -> Vec<u32> {
    let mentions = |pid: u32| command_line(pid).is_some_and(|args| args.iter().any(|arg| arg.contains(text)));
    running().into_iter().map(|process| process.pid).filter(|&pid| mentions(pid)).collect()
}

/// CPU time of this very process; `None` where that cannot be seen.
#[cfg(target_os = "linux")]
pub fn own_cpu() -> Option<Duration> {
    one(std::process::id()).map(|process| process.cpu)
}

/// CPU time of this very process; `None` where that cannot be seen.
#[cfg(not(target_os = "linux"))]
pub fn own_cpu() -> Option<Duration> {
    super::elsewhere::own_cpu()
}

/// What these processes use together; `None` where that cannot be seen.
pub(super) fn usage<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Option<Usage> {
    let sum = processes.into_iter().fold(Usage::default(), |sum, process| Usage {
        processes: sum.processes + 1,
        cpu: sum.cpu + process.cpu,
        resident_bytes: sum.resident_bytes + process.resident_bytes,
    });
    // Where processes are known by who started them, some browsers have none: the system starts Safari, not its driver.
    (cfg!(target_os = "linux") || sum.processes > 0).then_some(sum)
}

/// Ticks a second, and bytes a page.
#[cfg(target_os = "linux")]
fn units() -> Option<(u64, u64)> {
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some((rustix::param::clock_ticks_per_second().max(1), page))
}

/// Reads `/proc/<pid>/stat`; `None` for a zombie, which only waits to be counted.
#[cfg(any(test, target_os = "linux"))]
fn parse(pid: u32, stat: &str, (ticks_a_second, page): (u64, u64)) -> Option<Process> {
    // The name in parentheses may hold anything, a parenthesis too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        group: u32::try_from(number(2)?).ok()?,
        cpu: Duration::from_millis((number(11)? + number(12)?) * 1000 / ticks_a_second),
        resident_bytes: number(21)? * page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let line =
            "42 (a) b (c) S 7 40 40 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 9 0 100 1000 55 18446744073709551615";
        let process = parse(42, line, (100, 4096)).expect("a running process");
        assert_eq!((process.pid, process.parent, process.group), (42, 7, 40));
        assert_eq!((process.cpu, process.resident_bytes), (Duration::from_millis(420), 55 * 4096));
        assert!(parse(42, &line.replace(" S 7", " Z 7"), (100, 4096)).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_process_is_seen() {
        let me = std::process::id();
        assert_eq!(is_running(me), Some(true));
        let mine: Vec<_> = running().into_iter().filter(|process| process.pid == me).collect();
        assert!(usage(&mine).is_some_and(|usage| usage.processes == 1 && usage.resident_bytes > 0));
    }
}
