//! Processes where there is no `/proc`: as the system's own calls show them, by who started whom.

use std::collections::HashSet;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::procfs::Process;

/// Every running process.
pub(super) fn running() -> Vec<Process> {
    seen(ProcessesToUpdate::All).into_iter().map(|(process, _)| process).collect()
}

/// The running processes that these started, and those that they started in turn; they themselves first of all.
pub(super) fn started_by(pids: &[u32]) -> Vec<Process> {
    let mut all = seen(ProcessesToUpdate::All);
    let links: Vec<Link> = all
        .iter()
        .map(|(process, started_s)| Link { pid: process.pid, parent: process.parent, started_s: *started_s })
        .collect();
    let family = family(&links, pids);
    all.retain(|(process, _)| family.contains(&process.pid));
    all.into_iter().map(|(process, _)| process).collect()
}

/// CPU time of this very process; `None` where that cannot be seen.
pub(super) fn own_cpu() -> Option<Duration> {
    let me = [Pid::from_u32(std::process::id())];
    seen(ProcessesToUpdate::Some(&me)).first().map(|(process, _)| process.cpu)
}

/// Processes, and when they started, in seconds.
fn seen(which: ProcessesToUpdate<'_>) -> Vec<(Process, u64)> {
    let Ok(mut system) = System::new() else { return Vec::new() };
    system.refresh_processes_specifics(
        which,
        true,
        ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
    );
    let processes = system.processes().values().filter(|process| process.thread_kind().is_none());
    let one = |process: &sysinfo::Process| {
        let pid = process.pid().as_u32();
        let seen = Process {
            pid,
            parent: process.parent().map_or(0, Pid::as_u32),
            #[cfg(any(test, target_os = "linux"))]
            group: pid,
            cpu: Duration::from_millis(process.accumulated_cpu_time()),
            resident_bytes: process.memory(),
        };
        (seen, process.start_time())
    };
    processes.map(one).collect()
}

/// Who started a process, and when that was.
#[derive(Clone, Copy, Debug)]
struct Link {
    pid: u32,
    parent: u32,
    started_s: u64,
}

/// These processes with all that descend from them. A number is given anew once its process has ended: nobody is older than
/// who started him.
fn family(links: &[Link], roots: &[u32]) -> HashSet<u32> {
    let mut family: HashSet<u32> = HashSet::new();
    let mut next: Vec<Link> = links.iter().copied().filter(|link| roots.contains(&link.pid)).collect();
    while let Some(parent) = next.pop() {
        if family.insert(parent.pid) {
            let is_child = |link: &&Link| link.parent == parent.pid && link.started_s >= parent.started_s;
            next.extend(links.iter().filter(is_child));
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_who_descends_and_is_younger() {
        let link = |(pid, parent, started_s): (u32, u32, u64)| Link { pid, parent, started_s };
        let links: Vec<Link> =
            [(1, 0, 0), (10, 1, 5), (11, 10, 5), (12, 11, 9), (13, 10, 2), (14, 1, 9), (15, 15, 9)]
                .map(link)
                .to_vec();
        let of = |roots: &[u32]| {
            let mut family: Vec<u32> = family(&links, roots).into_iter().collect();
            family.sort_unstable();
            family
        };
        assert_eq!(of(&[10]), [10, 11, 12], "13 is older: another process had its number");
        assert_eq!(of(&[11, 14]), [11, 12, 14]);
        assert_eq!(of(&[15]), [15], "whoever says to have started itself");
        assert!(of(&[99]).is_empty());
    }

    /// What stands for `/proc` elsewhere is held against it where there is one.
    #[cfg(target_os = "linux")]
    #[test]
    fn it_sees_what_proc_shows() {
        use crate::session::procfs;

        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(120) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{error}"));
        let me = std::process::id();
        let family: HashSet<u32> = started_by(&[me]).iter().map(|process| process.pid).collect();
        let (before, calls, after) = (procfs::own_cpu(), own_cpu(), procfs::own_cpu());
        let (resident, parent) = running()
            .iter()
            .find(|process| process.pid == me)
            .map(|process| (process.resident_bytes, process.parent))
            .unwrap_or_default();
        let proc = procfs::running().into_iter().find(|process| process.pid == me);
        let ended = child.kill().and_then(|()| child.wait());
        assert!(family.contains(&me) && family.contains(&child.id()) && !family.contains(&1), "{family:?}");
        // In ticks of a hundredth of a second, read between two readings of the same.
        assert!(
            before <= calls && calls <= after && calls > Some(Duration::ZERO),
            "{before:?} {calls:?} {after:?}"
        );
        let proc = proc.unwrap_or_else(|| panic!("this process"));
        assert_eq!(parent, proc.parent);
        let off = resident.abs_diff(proc.resident_bytes);
        assert!(off <= proc.resident_bytes / 2, "other tests allocate meanwhile: {resident} {proc:?}");
        assert!(ended.is_ok());
    }
}
