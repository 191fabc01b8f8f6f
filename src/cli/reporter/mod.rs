//! Reporters: the only readers of events, and the only ones that print while a run goes on.

mod json;
mod plain;
mod quiet;
mod terminal;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use console::Term;

use super::args::PrintArgs;
use crate::event::{Events, RunEvent};

/// Turns events into what a person or program reads.
trait Reporter: Send {
    /// Something happened.
    fn event(&mut self, event: &RunEvent);
}

/// A reporter at work on its own thread, so that a slow terminal delays nothing.
pub(super) struct Reporting {
    events: Events,
    sender: Sender<Option<RunEvent>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporting {
    fn with(reporter: Box<dyn Reporter>) -> Self {
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("reporter".to_owned()).spawn(|| report(reporter, receiver));
        let told = sender.clone();
        // After the end nobody listens any more, and nothing needs to be told.
        let events = Events::new(move |event| drop(told.send(Some(event.clone()))));
        Self { events, sender, thread: thread.ok() }
    }

    /// Where events go.
    pub(super) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Waits until everything is printed.
    pub(super) fn end(self) {
        self.sender.send(None).ok();
        if let Some(thread) = self.thread {
            thread.join().ok();
        }
    }
}

fn report(mut reporter: Box<dyn Reporter>, events: Receiver<Option<RunEvent>>) {
    while let Ok(Some(event)) = events.recv() {
        reporter.event(&event);
    }
}

/// The reporter that the arguments ask for: bars on a terminal, lines elsewhere.
pub(super) fn start(args: &PrintArgs) -> Reporting {
    let reporter: Box<dyn Reporter> = if args.quiet {
        Box::new(quiet::Quiet)
    } else if args.is_json() {
        Box::new(json::Json)
    } else if Term::stderr().features().is_attended() {
        Box::new(terminal::Terminal::default())
    } else {
        Box::new(plain::Plain::default())
    };
    Reporting::with(reporter)
}

/// A reporter that prints only what a person must know.
pub(super) fn quiet() -> Reporting {
    Reporting::with(Box::new(quiet::Quiet))
}
