//! Signals: the first asks for an orderly end, the second kills every browser at once.

#[cfg(unix)]
use futures_util::future::select_all;

use crate::collect::Stop;
use crate::error::ExitStatus;
use crate::event::Events;
use crate::session;

/// Listens for Ctrl-C and SIGTERM from now on.
pub(super) fn listen(stop: Stop, events: Events) {
    tokio::spawn(async move {
        if !signal().await {
            return;
        }
        events.note("stopping: what is done is kept; once more to stop at once");
        stop.ask();
        if signal().await {
            session::kill_all();
            std::process::exit(ExitStatus::Interrupted.code().into());
        }
    });
}

/// Ends with the first Ctrl-C, SIGTERM or SIGHUP from now on, not only from when it is waited for.
#[cfg(unix)]
pub(super) fn stopped() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    async move {
        if signals.is_empty() {
            std::future::pending::<()>().await;
        }
        select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
}

/// Ends with Ctrl-C.
#[cfg(not(unix))]
pub(super) async fn stopped() {
    if !signal().await {
        std::future::pending::<()>().await;
    }
}

/// Waits for a signal; false if none can ever come.
#[cfg(unix)]
async fn signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return false };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
        got = terminate.recv() => got.is_some(),
        got = hang_up.recv() => got.is_some(),
    }
}

/// Waits for a signal; false if none can ever come.
#[cfg(not(unix))]
async fn signal() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

/// A panic anywhere must not leave browsers behind.
pub(super) fn kill_browsers_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A kernel that panics on a worker thread is caught there and becomes that cell's error; only
        // a panic of the main thread ends the program.
        if std::thread::current().name() == Some("main") {
            session::kill_all();
        }
        before(info);
    }));
}
