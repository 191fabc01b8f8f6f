//! One attempt: a page is sent to work and watched until it is over.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use webmatrix_wire::{AttemptId, Job};

use super::context::Context;
use super::end::{End, Mortal};
use super::native;
use super::recorder::Said;
use super::watch::{Pulse, Watch};
use crate::event::RunEvent;
use crate::serve::Files;
use crate::session::{Health, Session, SessionError, own_cpu};

/// How often the driver is asked how the browser does. Messages and heartbeats come by themselves;
/// this only finds deaths, so it may be rare enough to disturb nothing.
const PULSE_EVERY: Duration = Duration::from_secs(2);

/// Where an attempt takes place.
pub(super) enum Place<'a> {
    /// In a browser's page.
    Browser(&'a mut dyn Session),
    /// On the host.
    Native,
}

impl Place<'_> {
    /// What its processes have computed so far, where that can be seen.
    fn cpu(&self) -> Option<Duration> {
        match self {
            Self::Browser(session) => session.usage().map(|usage| usage.cpu),
            Self::Native => own_cpu(),
        }
    }
}

/// An attempt that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) end: End,
    pub(super) watch: Watch,
    /// From navigation to the end.
    pub(super) wall: Duration,
    /// What the browser's processes, or this one, computed meanwhile, where that can be seen.
    pub(super) cpu: Option<Duration>,
}

/// Sends a page to work on a job and waits for its end. The attempt's start is already recorded.
pub(super) async fn run(ctx: &Context, place: Place<'_>, job: &Job, files: Files, browser: &str) -> Over {
    let attempt = &job.attempt;
    let _measuring = ctx.quiet.measuring().await;
    let mut said = ctx.recorder.listen(attempt);
    let mut watch = Watch::new(Duration::from_millis(u64::from(job.deadline_ms)));
    let before = place.cpu();
    let started = Instant::now();
    let (end, after) = match place {
        Place::Native => {
            let end = in_native(ctx, job, files, &mut said, &mut watch, started, browser).await;
            (end, Place::Native.cpu())
        }
        Place::Browser(session) => match ctx.attempts.open(job.clone(), files) {
            Err(error) => (End::NoPage { text: format!("no token could be drawn: {error}") }, None),
            Ok(token) => {
                let url = ctx.server.page_url(attempt, &token);
                let end =
                    in_browser(ctx, &mut *session, &url, attempt, &mut said, &mut watch, started, browser)
                        .await;
                ctx.attempts.close(attempt);
                (end, Place::Browser(session).cpu())
            }
        },
    };
    let wall = started.elapsed();
    ctx.recorder.forget(attempt);
    // A process that ended meanwhile has taken its time with it: then less was seen than before.
    let cpu = before.zip(after).and_then(|(before, after)| after.checked_sub(before));
    Over { end, watch, wall, cpu }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one attempt, used here only")]
async fn in_browser(
    ctx: &Context,
    session: &mut dyn Session,
    url: &str,
    attempt: &AttemptId,
    said: &mut mpsc::UnboundedReceiver<Said>,
    watch: &mut Watch,
    started: Instant,
    browser: &str,
) -> End {
    let deadline = started + watch.deadline();
    // The page may be done before the driver says that it is loaded: both are waited for at once.
    let mut opening = Some(session.open(url));
    let opened = loop {
        let Some(open) = opening.as_mut() else { break Ok(()) };
        tokio::select! {
            opened = open => break opened,
            heard = said.recv() => {
                if let Some(end) = hear(ctx, heard, watch, started, attempt, browser) { return end; }
            }
            () = tokio::time::sleep_until(deadline) => break Ok(()),
            () = ctx.stop.asked() => return End::Interrupted {},
        }
    };
    drop(opening);
    if let Err(error) = opened {
        // The page may have said its last word while the driver was still waiting for it.
        while let Ok(heard) = said.try_recv() {
            if let Some(end) = hear(ctx, Some(heard), watch, started, attempt, browser) {
                return end;
            }
        }
        let died = |who| End::Died { who, stage: watch.stage().to_owned(), text: error.to_string() };
        return match error {
            SessionError::TabCrashed { .. } => died(Mortal::Page),
            SessionError::BrowserGone { .. } => died(Mortal::Browser),
            SessionError::DriverGone { .. } => died(Mortal::Driver),
            _ => End::NoPage { text: error.to_string() },
        };
    }
    let mut next_pulse = Instant::now() + PULSE_EVERY;
    loop {
        if let Some(end) = watch.end(started.elapsed()) {
            return end;
        }
        tokio::select! {
            heard = said.recv() => {
                if let Some(end) = hear(ctx, heard, watch, started, attempt, browser) { return end; }
            }
            () = tokio::time::sleep_until(next_pulse.min(deadline)) => {
                if Instant::now() >= next_pulse {
                    // What the page said while the driver was asked waits in the channel, and counts first.
                    let pulse = take_pulse(session).await;
                    while let Ok(heard) = said.try_recv() {
                        if let Some(end) = hear(ctx, Some(heard), watch, started, attempt, browser) { return end; }
                    }
                    watch.feel(pulse);
                    next_pulse = Instant::now() + PULSE_EVERY;
                }
            }
            () = ctx.stop.asked() => return End::Interrupted {},
        }
    }
}

async fn in_native(
    ctx: &Context,
    job: &Job,
    files: Files,
    said: &mut mpsc::UnboundedReceiver<Said>,
    watch: &mut Watch,
    started: Instant,
    browser: &str,
) -> End {
    let deadline = started + watch.deadline();
    let (recorder, job_there) = (ctx.recorder.clone(), job.clone());
    let mut worker = Some(tokio::task::spawn_blocking(move || {
        let mut voice = native::Voice::new(recorder.as_ref(), &job_there.attempt);
        native::work(&job_there, &files, &mut voice)
    }));
    loop {
        if let Some(end) = watch.end(started.elapsed()) {
            return end;
        }
        tokio::select! {
            biased;
            heard = said.recv() => {
                // The host has no heartbeat: that it is computing is known.
                if let Some(end) = hear(ctx, heard, watch, started, &job.attempt, browser) { return end; }
            }
            // The thread cannot be stopped: it is left behind, and its words find no listener.
            () = tokio::time::sleep_until(deadline) => {}
            () = ctx.stop.asked() => return End::Interrupted {},
            ended = async { match worker.as_mut() { Some(worker) => worker.await, None => std::future::pending().await } } => {
                worker = None;
                match ended {
                    Ok(Ok(())) if watch.end(started.elapsed()).is_none() && said.is_empty() => {
                        watch.feel(Pulse::Dead(Mortal::Page, "the engine ended without a last word".to_owned()));
                    }
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => watch.feel(Pulse::Dead(Mortal::Page, format!("cannot be recorded: {error}"))),
                    Err(error) => watch.feel(Pulse::Dead(Mortal::Page, format!("the engine panicked: {error}"))),
                }
            }
        }
    }
}

/// Takes in what was said; the end, if that was the last word.
fn hear(
    ctx: &Context,
    heard: Option<Said>,
    watch: &mut Watch,
    started: Instant,
    attempt: &AttemptId,
    browser: &str,
) -> Option<End> {
    watch.hear(heard?, started.elapsed());
    if let Some((stage, fraction)) = watch.progress.take() {
        let (attempt, browser) = (attempt.clone(), browser.to_owned());
        ctx.events.emit(&RunEvent::AttemptProgress { attempt, browser, stage, fraction });
    }
    watch.end(started.elapsed())
}

async fn take_pulse(session: &mut dyn Session) -> Pulse {
    match session.health().await {
        Health::Alive => Pulse::Well,
        Health::TabCrashed => Pulse::Dead(Mortal::Page, "its process crashed".to_owned()),
        Health::BrowserGone => Pulse::Dead(Mortal::Browser, "its process is gone".to_owned()),
        Health::DriverGone => Pulse::Dead(Mortal::Driver, "its process is gone".to_owned()),
        Health::Hung => Pulse::Unclear("the driver does not answer".to_owned()),
    }
}
