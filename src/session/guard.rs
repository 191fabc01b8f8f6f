//! A watcher outside of this process, for the one end that no handler sees: SIGKILL.
//!
//! A tiny shell waits on a pipe from us. While we live it learns which process groups are ours; an
//! orderly end dismisses it. If the pipe ends without that word, we are gone, and it kills the groups
//! and removes the session's folder. Windows needs none: a Job Object ends with its last handle.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin};

/// Reads `group N` and `done`. Debian's shell takes a group's number only after `-s KILL --`.
#[cfg(unix)]
const WATCH: &str = r#"
groups=
while read -r word value; do
  case $word in
    group) groups="$groups -$value" ;;
    done) exit 0 ;;
  esac
done
[ -z "$groups" ] || kill -s KILL -- $groups 2>/dev/null
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
"#;

/// The watcher of one session.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Option<(Child, ChildStdin)>,
}

impl Guard {
    /// Starts watching; `folder` is removed if we vanish. Without a shell there is no guard, and that
    /// is only worth a line in the log: every other end is handled here.
    pub(super) fn start(folder: &Path) -> Self {
        let shell = spawn(folder).inspect_err(|error| tracing::warn!(%error, "sessions are not guarded"));
        Self { shell: shell.ok().flatten() }
    }

    /// Tells it of a process group.
    pub(super) fn watch(&mut self, group: u32) {
        self.say(&format!("group {group}\n"));
    }

    /// Everything ended in order.
    pub(super) fn dismiss(&mut self) {
        self.say("done\n");
        if let Some((mut shell, pipe)) = self.shell.take() {
            drop(pipe);
            // It has nothing to do but to exit, so this takes no time and leaves no zombie.
            if let Err(error) = shell.wait() {
                tracing::debug!(%error, "the guard cannot be waited for");
            }
        }
    }

    fn say(&mut self, line: &str) {
        if let Some((_, pipe)) = &mut self.shell
            && let Err(error) = pipe.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "the session's guard is gone");
        }
    }
}

#[cfg(unix)]
fn spawn(folder: &Path) -> std::io::Result<Option<(Child, ChildStdin)>> {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    let mut shell = Command::new("/bin/sh")
        .args(["-c", WATCH, "webmatrix-guard"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Ctrl-C in the terminal reaches our group, and must not take the guard away.
        .process_group(0)
        .spawn()?;
    let pipe = shell.stdin.take();
    Ok(pipe.map(|pipe| (shell, pipe)))
}

#[cfg(not(unix))]
fn spawn(_folder: &Path) -> std::io::Result<Option<(Child, ChildStdin)>> {
    Ok(None)
}
