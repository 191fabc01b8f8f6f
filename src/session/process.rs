//! The processes of one session: started together, ended together, whatever happens.
//!
//! A killed driver leaves its browser running, so the unit of ending is never a process but its group
//! (a Job Object on Windows). Each [`Group`] is known to a process-wide registry, from which
//! [`kill_all`] serves the ends that cannot wait for anybody: a panic, a second Ctrl-C.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::process::{ChildStderr, ChildStdout, Command};

use crate::session::guard::Guard;
use crate::session::procfs::{self, Process};

/// How often dying processes are looked at.
const POLL: Duration = Duration::from_millis(5);

/// Every group that may still have processes.
static GROUPS: Mutex<Vec<Weak<Mutex<Members>>>> = Mutex::new(Vec::new());

/// Kills every process of every session, at once and without waiting. For panic hooks and the second
/// Ctrl-C; sessions that end in order close themselves.
pub fn kill_all() {
    for group in lock(&GROUPS).drain(..) {
        if let Some(members) = group.upgrade() {
            lock(&members).kill();
        }
    }
}

/// The processes of one session. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Group {
    members: Arc<Mutex<Members>>,
}

#[derive(Debug)]
struct Members {
    children: Vec<Box<dyn ChildWrapper>>,
    /// The children's ids, which are their groups' too; kept apart because a reaped child forgets its own.
    ids: Vec<u32>,
    guard: Guard,
}

/// A process just started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Group {
    /// An empty group; `folder` is removed should this very process be killed.
    pub(super) fn new(folder: &Path) -> Self {
        let members = Members { children: Vec::new(), ids: Vec::new(), guard: Guard::start(folder) };
        let members = Arc::new(Mutex::new(members));
        let mut groups = lock(&GROUPS);
        groups.retain(|group| group.strong_count() > 0);
        groups.push(Arc::downgrade(&members));
        Self { members }
    }

    /// Starts a program whose descendants belong to the group.
    pub(super) fn start(&self, command: Command) -> std::io::Result<Started> {
        let mut command = CommandWrap::from(command);
        command.wrap(KillOnDrop);
        #[cfg(unix)]
        command.wrap(process_wrap::tokio::ProcessGroup::leader());
        #[cfg(windows)]
        command.wrap(process_wrap::tokio::JobObject);
        let mut members = lock(&self.members);
        let mut child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        members.guard.watch(pid);
        let started = Started { pid, stdout: child.stdout().take(), stderr: child.stderr().take() };
        members.ids.push(pid);
        members.children.push(child);
        Ok(started)
    }

    /// How a program started here has ended, if it has.
    pub(super) fn exit_of(&self, pid: u32) -> Option<String> {
        let mut members = lock(&self.members);
        let at = members.ids.iter().position(|&id| id == pid)?;
        match members.children.get_mut(at)?.try_wait() {
            Ok(status) => status.map(|status| status.to_string()),
            // Somebody else reaped it.
            Err(error) => Some(error.to_string()),
        }
    }

    /// The group's running processes, where they can be seen.
    pub(super) fn processes(&self) -> Vec<Process> {
        let ids = lock(&self.members).ids.clone();
        procfs::of_groups(&ids)
    }

    /// Kills everything and waits until it is gone; `false` if something outlives the deadline.
    pub(super) async fn end(&self, deadline: Duration) -> bool {
        lock(&self.members).kill();
        let started = Instant::now();
        while lock(&self.members).any_left() {
            if started.elapsed() > deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        let mut members = lock(&self.members);
        members.forget();
        members.guard.dismiss();
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut members = lock(&self.members);
        members.kill();
        members.guard.dismiss();
    }
}

impl Members {
    fn kill(&mut self) {
        for child in &mut self.children {
            // It fails for what is gone already, which is what we want.
            if let Err(error) = child.start_kill() {
                tracing::trace!(%error, "nothing left to kill");
            }
        }
    }

    /// Whether a process of ours still runs. Reaps our own children on the way.
    fn any_left(&mut self) -> bool {
        let children = self.children.iter_mut().any(|child| matches!(child.try_wait(), Ok(None)));
        children || self.ids.iter().any(|&id| group_runs(id))
    }

    /// From now on these numbers may belong to others.
    fn forget(&mut self) {
        self.children.clear();
        self.ids.clear();
    }
}

#[cfg(target_os = "linux")]
fn group_runs(group: u32) -> bool {
    procfs::running().iter().any(|process| process.group == group)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn group_runs(group: u32) -> bool {
    let group = i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw);
    group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
}

#[cfg(windows)]
fn group_runs(_group: u32) -> bool {
    // The job's `try_wait` has answered for all of it.
    false
}

/// Ends the processes that left their group but mention the session's folder: crash handlers, which
/// are about to end by themselves. Returns those found.
pub(super) async fn end_strays(folder: &str, deadline: Duration) -> Vec<u32> {
    let strays = procfs::mentioning(folder);
    strays.iter().copied().for_each(kill_one);
    let started = Instant::now();
    while strays.iter().any(|&pid| procfs::is_running(pid) == Some(true)) && started.elapsed() < deadline {
        tokio::time::sleep(POLL).await;
    }
    strays
}

#[cfg(unix)]
fn kill_one(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL))
    {
        tracing::trace!(%error, "a stray is gone already");
    }
}

/// Nothing leaves a Job Object, and nothing is found here.
#[cfg(not(unix))]
fn kill_one(_pid: u32) {}

/// A lock that survives a panic elsewhere: ending processes matters most then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
