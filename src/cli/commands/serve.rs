//! `webmatrix serve`: the report, live.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ledger;
use super::report::dossiers;
use crate::analyse::dossier::Dossier;
use crate::cli::args::ServeArgs;
use crate::cli::{out, signals};
use crate::error::{Exit, ExitStatus, Failure};
use crate::live::{Dashboard, Follower, Page, Progress};
use crate::plan::Claims;
use crate::render::{Format, Reading, page};
use crate::store::{RunSelection, StoreError};

/// How often journals are looked at; a page is made at most that often.
const LOOK: Duration = Duration::from_secs(1);

/// The part of the time that making pages may take: the run that is shown is timed, on this very machine perhaps.
const SHARE: u32 = 5;

pub(in crate::cli) async fn run(args: ServeArgs) -> Result<ExitStatus, Failure> {
    let address = SocketAddr::from((args.host, args.port));
    let dashboard = Dashboard::bind(address).await.map_err(|error| {
        Failure::text(ExitStatus::Unavailable, format!("cannot listen at {address}: {error}"))
    })?;
    let claims = ledger::ledger(None)?;
    let follower = Follower::open(&args.db).exit(ExitStatus::BadData)?;
    let mut shower = Shower { follower, args, claims, made: 0 };
    let (sender, pages) = watch::channel(shower.page()?);
    // Before anybody knows where it is: who knows may stop it.
    let stopped = signals::stopped();
    out::line(&format!("http://{}/", dashboard.address()));
    if !dashboard.address().ip().is_loopback() {
        out::note("whoever reaches this address can read what is stored here");
    }
    if pages.borrow().progress.run.is_none() {
        out::note("no run yet: the page shows the first one as soon as there is one");
    }
    // Rows are read and pages made on a thread of their own; it ends with the program.
    std::thread::Builder::new()
        .name("dashboard".to_owned())
        .spawn(move || keep_up(&mut shower, &sender))
        .exit(ExitStatus::Unavailable)?;
    tokio::select! {
        served = dashboard.serve(pages) => served.exit(ExitStatus::Unavailable)?,
        // To be stopped is how a dashboard ends.
        () = stopped => {}
    }
    Ok(ExitStatus::AsExpected)
}

/// Makes a page of what there is whenever there is more.
fn keep_up(shower: &mut Shower, sender: &watch::Sender<Page>) {
    let mut rest = LOOK;
    loop {
        std::thread::sleep(rest);
        let begun = Instant::now();
        let more = shower.follower.follow().exit(ExitStatus::BadData);
        match more.and_then(|more| if more { shower.page().map(Some) } else { Ok(None) }) {
            Ok(Some(page)) => drop(sender.send_replace(page)),
            Ok(None) => {}
            Err(failure) => out::error(&failure.error),
        }
        if sender.is_closed() {
            return;
        }
        rest = LOOK.max(begun.elapsed() * SHARE);
    }
}

/// Makes pages.
struct Shower {
    follower: Follower,
    args: ServeArgs,
    claims: Claims,
    made: u32,
}

impl Shower {
    fn page(&mut self) -> Result<Page, Failure> {
        let mut runs = match dossiers(self.follower.database(), &self.args.run, Format::Html) {
            // What is asked for may come.
            Err(StoreError::NoRun(_)) if self.args.run == RunSelection::Latest => Vec::new(),
            found => found.exit(ExitStatus::BadData)?,
        };
        // While a run goes on, nothing is concluded from a part of it.
        for run in runs.iter_mut().filter(|run| run.view.run.ended_at.is_some()) {
            ledger::judge(self.follower.database(), &self.args.db, &self.claims, run)
                .exit(ExitStatus::BadData)?;
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
