//! Processes as Linux shows them. Elsewhere there is no `/proc`, and every question has an empty answer.

use std::time::Duration;

use serde::Serialize;

/// A running process; zombies are not running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    cpu_ticks: u64,
    resident_pages: u64,
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
pub(super) fn running() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Whether a process runs: `None` where that cannot be seen.
pub(super) fn is_running(pid: u32) -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    Some(stat.and_then(|stat| parse(pid, &stat)).is_some())
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
pub fn own_cpu() -> Option<Duration> {
    let me = std::process::id();
    let process = parse(me, &std::fs::read_to_string(format!("/proc/{me}/stat")).ok()?)?;
    usage([&process]).map(|usage| usage.cpu)
}

/// What these processes use together; `None` where that cannot be seen.
pub(super) fn usage<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Option<Usage> {
    let (ticks_a_second, page) = units()?;
    let sum = processes.into_iter().fold((0, 0, 0), |(count, ticks, pages), process| {
        (count + 1, ticks + process.cpu_ticks, pages + process.resident_pages)
    });
    Some(Usage {
        processes: sum.0,
        cpu: Duration::from_millis(sum.1 * 1000 / ticks_a_second),
        resident_bytes: sum.2 * page,
    })
}

#[cfg(target_os = "linux")]
fn units() -> Option<(u64, u64)> {
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some((rustix::param::clock_ticks_per_second().max(1), page))
}

#[cfg(not(target_os = "linux"))]
fn units() -> Option<(u64, u64)> {
    None
}

/// Reads `/proc/<pid>/stat`; `None` for a zombie, which only waits to be counted.
fn parse(pid: u32, stat: &str) -> Option<Process> {
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
        cpu_ticks: number(11)? + number(12)?,
        resident_pages: number(21)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let line =
            "42 (a) b (c) S 7 40 40 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 9 0 100 1000 55 18446744073709551615";
        let process = parse(42, line).expect("a running process");
        assert_eq!((process.pid, process.parent, process.group), (42, 7, 40));
        assert_eq!((process.cpu_ticks, process.resident_pages), (42, 55));
        assert!(parse(42, &line.replace(" S 7", " Z 7")).is_none());
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
