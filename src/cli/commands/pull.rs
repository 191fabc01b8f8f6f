//! `webmatrix models pull`: a class's checkpoint from the hub, hashed, for `run --weights hub`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use crate::cli::args::{PrintArgs, PullArgs};
use crate::cli::{out, reporter, table};
use crate::collect::{Check, Hub, HubError, Pulled, PulledFile, Told};
use crate::error::{Exit, ExitStatus, Failure};
use crate::event::Events;
use crate::plan::{Checkpoint, ModelClass};

pub(in crate::cli) async fn run(args: PullArgs) -> Result<ExitStatus, Failure> {
    let class = args.wanted.class;
    let pin = Checkpoint::pinned(class).exit(ExitStatus::BadData)?;
    let checkpoint = pin.clone().or(args.repo, args.wanted.revision).exit(ExitStatus::Usage)?;
    let hub = Hub::from_env().map_err(failure)?;
    // Progress goes to standard error; standard output is for what was got.
    let quiet = args.print.quiet || args.print.is_json();
    let reporting = reporter::start(&PrintArgs { format: None, quiet });
    let events = reporting.events();
    events.note(format!("{class}: {} ({}): {}", checkpoint.repo, checkpoint.licence, checkpoint.note));
    let patience = Duration::from_secs(u64::from(args.deadline));
    let pulled = pull(hub, class, checkpoint.clone(), patience, &events).await;
    reporting.end();
    let pulled = pulled?;
    if args.print.is_json() {
        out::line(&serde_json::to_string(&pulled).exit(ExitStatus::BadData)?);
    } else if args.print.quiet {
        out::line(&pulled.folder.display().to_string());
    } else {
        out::text(&text(class, &pin, &checkpoint, &pulled));
    }
    Ok(ExitStatus::AsExpected)
}

fn failure(error: HubError) -> Failure {
    Failure::new(error.exit_status(), error)
}

/// Pulls on a thread of its own, which is left behind when the hub falls silent: what it has brought stays.
async fn pull(
    hub: Hub,
    class: ModelClass,
    checkpoint: Checkpoint,
    patience: Duration,
    events: &Events,
) -> Result<Pulled, Failure> {
    let (told, heard) = channel();
    let waiting = tokio::task::spawn_blocking({
        let events = events.clone();
        move || listen(&heard, patience, &events)
    });
    // A listener that is gone has given up.
    let working = std::thread::spawn(move || hub.pull(class, &checkpoint, &|what| drop(told.send(what))));
    let silent = waiting.await.unwrap_or(None);
    if let Some(file) = silent {
        let text = format!(
            "{file}: the hub has been silent for {} s; what has come is kept: type the same again to go on, or \
             give it more time with --deadline",
            patience.as_secs()
        );
        return Err(Failure::text(ExitStatus::Unavailable, text));
    }
    let panicked = || Failure::text(ExitStatus::BadData, "the hub's answers cannot be understood");
    working.join().map_err(|_| panicked())?.map_err(failure)
}

/// Tells people how the pull goes; returns the file at which it stalled, or none when it ended.
fn listen(heard: &Receiver<Told>, patience: Duration, events: &Events) -> Option<String> {
    let (mut last, mut said, mut quarter) = (String::new(), String::new(), 0);
    let mut since = Instant::now();
    loop {
        let (told, now) = match heard.recv_timeout(patience) {
            Ok(told) => (told, Instant::now()),
            Err(RecvTimeoutError::Timeout) => return Some(last),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        match told {
            Told::Asks(file) | Told::Hashes(file) => last = file,
            Told::Has { file, bytes, of } => {
                if said != file {
                    (said, quarter, since) = (file.clone(), 4 * bytes / of.max(1), now);
                    let rest =
                        if quarter > 0 { format!(", {} of it here", size(bytes)) } else { String::new() };
                    events.note(format!("{file}: {}{rest}", size(of)));
                }
                let reached = 4 * bytes / of.max(1);
                // A file that is here at once needs no progress.
                if reached > quarter && now.duration_since(since) > Duration::from_secs(5) {
                    quarter = reached;
                    events.note(format!("{file}: {} of {}", size(bytes), size(of)));
                }
                last = file;
            }
        }
    }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn text(class: ModelClass, pin: &Checkpoint, checkpoint: &Checkpoint, pulled: &Pulled) -> String {
    let row = |file: &PulledFile| {
        let check = match file.check {
            Check::Pin => "as pinned",
            Check::Hub => "as the hub says",
            Check::Nothing => "recorded",
        };
        vec![file.name.clone(), size(file.bytes), file.sha256.clone(), check.to_owned()]
    };
    let rows: Vec<Vec<String>> = pulled.files.iter().map(row).collect();
    let mut text = format!("{} at commit {}\n", pulled.repo, pulled.commit);
    text.push_str(&table::table(&["file", "size", "sha256", ""], &rows));
    if !checkpoint.is_commit() {
        text.push_str(&format!("{} is not pinned: next time it may be another commit\n", pulled.revision));
    }
    let folder = pulled.folder.display();
    let flag = if checkpoint == pin { "hub".to_owned() } else { format!("{class}={folder}") };
    text.push_str(&format!("folder: {folder}\nrun it: webmatrix run --models {class} --weights {flag}\n"));
    text
}
