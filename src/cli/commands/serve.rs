//! `webmatrix serve`: the report, live.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger;
use super::report::dossiers;
use crate::analyse::dossier::Dossier;
use crate::cli::args::{PrintArgs, ServeArgs};
use crate::cli::config::Places;
use crate::cli::recording::Recording;
use crate::cli::{out, signals};
use crate::collect::Quiet;
use crate::error::{Exit, ExitStatus, Failure};
use crate::live::{Dashboard, Follower, Page, Progress};
use crate::plan::Claims;
use crate::render::{Format, Reading, page};
use crate::store::{Database, RunSelection, StoreError};

/// How often journals are looked at; a page is made at most that often.
const LOOK: Duration = Duration::from_secs(1);

/// The part of the time that making pages may take: the run that is shown is timed, on this very machine perhaps.
const SHARE: u32 = 5;

/// A plan of ten thousand cells takes a while to be written; then the page begins without it.
const BEGIN: Duration = Duration::from_secs(60);

/// Who has the last page of a run may want it before the program is gone.
const LAST: Duration = Duration::from_secs(2);

pub(in crate::cli) async fn run(args: ServeArgs) -> Result<ExitStatus, Failure> {
    let dashboard = bind(SocketAddr::from((args.host, args.port))).await?;
    let mut shower = Shower::open(args.db, args.run)?;
    let (sender, pages) = watch::channel(shower.page()?);
    // Before anybody knows where it is: who knows may stop it.
    let stopped = signals::stopped();
    out::line(&url(&dashboard));
    warn(&dashboard);
    if pages.borrow().progress.run.is_none() {
        out::note("no run yet: the page shows the first one as soon as there is one");
    }
    let (_goes_on, over) = channel();
    // Rows are read and pages made on a thread of their own; it ends with the program.
    let work = move || keep_up(&mut shower, &sender, &over, None);
    std::thread::Builder::new().name("dashboard".to_owned()).spawn(work).exit(ExitStatus::Unavailable)?;
    tokio::select! {
        served = dashboard.serve(pages) => served.exit(ExitStatus::Unavailable)?,
        // To be stopped is how a dashboard ends.
        () = stopped => {}
    }
    Ok(ExitStatus::AsExpected)
}

async fn bind(address: SocketAddr) -> Result<Dashboard, Failure> {
    Dashboard::bind(address).await.map_err(|error| {
        Failure::text(ExitStatus::Unavailable, format!("cannot listen at {address}: {error}"))
    })
}

fn url(dashboard: &Dashboard) -> String {
    format!("http://{}/", dashboard.address())
}

fn warn(dashboard: &Dashboard) {
    if !dashboard.address().ip().is_loopback() {
        out::note("whoever reaches this address can read what is stored here");
    }
}

/// A dashboard of the run that this process is about to begin.
pub(super) struct Beside {
    dashboard: Dashboard,
}

impl Beside {
    /// Listens.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { dashboard: bind(address).await? })
    }

    /// Tells where it is, and shows the run from now on, by the database that it writes. That is read and pages are made
    /// `between` attempts, if that is given, else at any time.
    pub(super) fn show(
        self,
        recording: &Recording,
        places: &Places,
        between: Option<Quiet>,
        print: &PrintArgs,
    ) -> Result<Showing, Failure> {
        let Self { dashboard } = self;
        let url = url(&dashboard);
        // Standard output is for lines of one kind.
        if print.is_json() {
            out::note(&url)
        } else {
            out::line(&url)
        }
        warn(&dashboard);
        let run = recording.run.clone();
        let stored = Stored::Written(recording.reader()?, run.clone(), None);
        let mut shower = Shower::of(stored, places.db.clone(), RunSelection::Id(run))?;
        shower.wait_for_begin()?;
        let (sender, pages) = watch::channel(shower.page()?);
        let server = tokio::spawn(dashboard.serve(pages));
        let (goes_on, over) = channel();
        let work = move || {
            let took = keep_up(&mut shower, &sender, &over, between.as_ref());
            // With the shower goes what holds the database.
            (sender, shower.made, took)
        };
        let spawned = std::thread::Builder::new().name("dashboard".to_owned()).spawn(work);
        Ok(Showing { server, goes_on, thread: spawned.exit(ExitStatus::Unavailable)?, quiet: print.quiet })
    }
}

/// A dashboard that shows a run.
pub(super) struct Showing {
    server: JoinHandle<std::io::Result<()>>,
    goes_on: Sender<()>,
    /// Gives how many pages were made, and how long that took.
    thread: std::thread::JoinHandle<(watch::Sender<Page>, u32, Duration)>,
    quiet: bool,
}

impl Showing {
    /// Shows how the run ended, and ends; `keep`: not before somebody stops it.
    pub(super) async fn end(self, keep: bool) {
        let stopped = signals::stopped();
        drop(self.goes_on);
        let thread = self.thread;
        let sender = tokio::task::spawn_blocking(move || thread.join()).await;
        let Ok(Ok((sender, made, took))) = sender else { return };
        if !self.quiet {
            out::note(&format!("the dashboard was made {made} times, in {:.2} s", took.as_secs_f64()));
        }
        if keep {
            out::note("the run is over, and its page stays: Ctrl-C ends it");
            stopped.await;
        } else if sender.receiver_count() > 1 {
            // The server itself is one.
            tokio::time::sleep(LAST).await;
        }
        self.server.abort();
    }
}

/// Makes a page of what there is whenever there is more, and a last one once `over` has no other end; gives how long all of it
/// took.
fn keep_up(
    shower: &mut Shower,
    sender: &watch::Sender<Page>,
    over: &Receiver<()>,
    between: Option<&Quiet>,
) -> Duration {
    let mut rest = LOOK;
    let mut all = Duration::ZERO;
    loop {
        let is_over = over.recv_timeout(rest) != Err(RecvTimeoutError::Timeout);
        let (made, took) = match between {
            Some(quiet) => quiet.between(|| timed(|| shower.next())),
            None => timed(|| shower.next()),
        };
        match made {
            Ok(Some(page)) => drop(sender.send_replace(page)),
            Ok(None) => {}
            Err(failure) => out::error(&failure.error),
        }
        all += took;
        if is_over || sender.is_closed() {
            return all;
        }
        rest = LOOK.max(took * SHARE);
    }
}

/// What work gives, and how long it took: not how long it waited.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    (work(), begun.elapsed())
}

/// What pages are made of.
enum Stored {
    /// A copy that follows the journals of other processes.
    Followed(Follower),
    /// The database that this process writes, its run, and how much of that was there the last time.
    Written(Database, String, Option<(u64, u64, u64, bool)>),
}

impl Stored {
    const fn database(&self) -> &Database {
        match self {
            Self::Followed(follower) => follower.database(),
            Self::Written(database, ..) => database,
        }
    }

    /// Whether there is more than the last time.
    fn more(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Followed(follower) => follower.follow().exit(ExitStatus::BadData),
            Self::Written(database, run, seen) => {
                let now = database.pulse(run).exit(ExitStatus::BadData)?;
                Ok(std::mem::replace(seen, now) != now)
            }
        }
    }
}

/// Makes pages.
struct Shower {
    stored: Stored,
    /// The database's file: what pages uploaded lies beside it.
    db: PathBuf,
    run: RunSelection,
    claims: Claims,
    made: u32,
}

impl Shower {
    fn open(db: PathBuf, run: RunSelection) -> Result<Self, Failure> {
        let follower = Follower::open(&db).exit(ExitStatus::BadData)?;
        Self::of(Stored::Followed(follower), db, run)
    }

    fn of(stored: Stored, db: PathBuf, run: RunSelection) -> Result<Self, Failure> {
        Ok(Self { stored, db, run, claims: ledger::ledger(None)?, made: 0 })
    }

    /// Waits until the run's plan is in the database, before anything is measured.
    fn wait_for_begin(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        while !self.stored.more()? && begun.elapsed() < BEGIN {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// A page, if there is more to show than on the last.
    fn next(&mut self) -> Result<Option<Page>, Failure> {
        if self.stored.more()? { self.page().map(Some) } else { Ok(None) }
    }

    fn page(&mut self) -> Result<Page, Failure> {
        let mut runs = match dossiers(self.stored.database(), &self.run, Format::Html) {
            // What is asked for may come.
            Err(StoreError::NoRun(_))
                if self.run == RunSelection::Latest || matches!(self.stored, Stored::Written(..)) =>
            {
                Vec::new()
            }
            found => found.exit(ExitStatus::BadData)?,
        };
        // While a run goes on, nothing is concluded from a part of it.
        for run in runs.iter_mut().filter(|run| run.view.run.ended_at.is_some()) {
            ledger::judge(self.stored.database(), &self.db, &self.claims, run).exit(ExitStatus::BadData)?;
        }
        self.made += 1;
        let version = format!("{}-{}", std::process::id(), self.made);
        let html = page(&runs, Reading::Live).exit(ExitStatus::BadData)?;
        Ok(Page { html: html.into(), progress: progress(version, runs.last()) })
    }
}

fn progress(version: String, shown: Option<&Dossier>) -> Progress {
    let cells = shown.map_or(&[][..], |dossier| &dossier.view.cells);
    Progress {
        version,
        run: shown.map(|dossier| dossier.view.run.run.clone()),
        running: shown.is_some_and(|dossier| dossier.view.run.ended_at.is_none()),
        decided: cells.iter().filter(|cell| cell.status.is_some()).count(),
        cells: cells.len(),
    }
}
