//! What is known about an attempt while it runs, and when it is over. Pure: time is handed in.

use std::time::Duration;

use bytes::Bytes;
use webmatrix_wire::{
    BackendFacts, Envelope, Loaded, Message, OpCase, Pair, PeerFacts, ProbeReport, Variant,
};

use super::end::{End, Mortal};
use super::recorder::Said;

/// A beat is due every second or so; after this long without one the page is in trouble.
const BEAT_LOST: Duration = Duration::from_secs(10);
/// After this long without one the page is gone, whatever the driver says: Firefox's does not tell
/// when a page's process was killed.
const BEAT_DEAD: Duration = Duration::from_secs(30);

/// What the driver says about the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// All is well.
    Well,
    /// Something is certainly dead.
    Dead(Mortal, String),
    /// No clear answer.
    Unclear(String),
}

/// An attempt while it runs.
#[derive(Debug)]
pub(super) struct Watch {
    deadline: Duration,
    stage: String,
    /// When the page was last heard; none before its heart first beat: without a heart (the host has
    /// none) silence means nothing.
    last_beat: Option<Duration>,
    unclear: Option<String>,
    /// The page's last word.
    last_word: Option<End>,
    /// What the page said of its backend, the latest.
    pub(super) facts: Option<BackendFacts>,
    /// The harness build that said hello.
    pub(super) variant: Option<Variant>,
    /// How the page's files came.
    pub(super) loaded: Option<Loaded>,
    /// What the page found, for a probe.
    pub(super) probe: Option<ProbeReport>,
    /// What the page said of op cases, in its order.
    pub(super) op_cases: Vec<OpCase>,
    /// What another runtime told of itself.
    pub(super) peer: Option<PeerFacts>,
    /// The timed pairs, without warm-ups.
    pub(super) pairs: Vec<Pair>,
    /// The model's outputs.
    pub(super) outputs: Option<Bytes>,
    /// The timed samples, without warm-ups.
    pub(super) samples: Vec<f64>,
    /// Progress not yet told.
    pub(super) progress: Option<(String, f64)>,
}

impl Watch {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            stage: "load the page".to_owned(),
            last_beat: None,
            unclear: None,
            last_word: None,
            facts: None,
            variant: None,
            loaded: None,
            probe: None,
            op_cases: Vec::new(),
            peer: None,
            pairs: Vec::new(),
            outputs: None,
            samples: Vec::new(),
            progress: None,
        }
    }

    /// When the attempt is over at the latest.
    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What the page was doing, as far as is known.
    pub(super) fn stage(&self) -> &str {
        &self.stage
    }

    /// The page said something.
    pub(super) fn hear(&mut self, said: Said, now: Duration) {
        if self.last_beat.is_some() || matches!(said, Said::Heartbeat) {
            self.last_beat = Some(now);
        }
        match said {
            Said::Messages(envelopes) => envelopes.into_iter().for_each(|envelope| self.message(envelope)),
            Said::Outputs(bytes) => self.outputs = Some(bytes),
            Said::Heartbeat => {}
        }
    }

    fn message(&mut self, envelope: Envelope) {
        match envelope.message {
            Message::Progress(progress) => {
                self.stage.clone_from(&progress.stage);
                self.progress = Some((progress.stage, progress.fraction));
            }
            Message::Probe(report) => self.probe = Some(*report),
            Message::OpCase(case) => self.op_cases.push(case),
            Message::Hello(hello) => self.variant = Some(hello.variant),
            Message::Loaded(loaded) => self.loaded = Some(loaded),
            Message::Backend(facts) => self.facts = Some(*facts),
            Message::Peer(facts) => self.peer = Some(facts),
            Message::Pair(pair) if !pair.warmup => self.pairs.push(pair),
            Message::Sample(sample) if !sample.warmup => self.samples.push(sample.ms),
            Message::Done(done) => self.last_word = Some(End::Done(done)),
            Message::Failed(failed) => self.last_word = Some(End::Failed(failed)),
            Message::Timing(_)
            | Message::Sample(_)
            | Message::Pair(_)
            | Message::Tokens(_)
            | Message::Memory(_)
            | Message::Metric(_)
            | Message::Log(_) => {}
        }
    }

    /// The driver was asked.
    pub(super) fn feel(&mut self, pulse: Pulse) {
        match pulse {
            Pulse::Well => self.unclear = None,
            Pulse::Unclear(text) => self.unclear = Some(text),
            // The page's last word may have come first: what it said, it said alive.
            Pulse::Dead(who, text) => {
                let stage = self.stage.clone();
                self.last_word.get_or_insert(End::Died { who, stage, text });
            }
        }
    }

    /// How the attempt ended, once it has.
    pub(super) fn end(&self, now: Duration) -> Option<End> {
        if let Some(end) = &self.last_word {
            return Some(end.clone());
        }
        let silence = self.last_beat.map(|beat| now.saturating_sub(beat));
        let died = |text: String| Some(End::Died { who: Mortal::Page, stage: self.stage.clone(), text });
        match (silence, &self.unclear) {
            (Some(silence), Some(unclear)) if silence > BEAT_LOST => {
                return died(format!("no heartbeat for {} s, and {unclear}", silence.as_secs()));
            }
            (Some(silence), None) if silence > BEAT_DEAD => {
                return died(format!("no heartbeat for {} s", silence.as_secs()));
            }
            _ => {}
        }
        (now >= self.deadline).then(|| End::Deadline {
            stage: self.stage.clone(),
            alive: silence.is_some_and(|silence| silence <= BEAT_LOST),
        })
    }
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::{Done, Progress};

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn say(message: Message) -> Said {
        Said::Messages(vec![Envelope { seq: 0, at_ms: 0.0, message }])
    }

    fn done() -> Message {
        Message::Done(Done { page_ms: 1.0, outputs: vec![] })
    }

    #[test]
    fn the_last_word_ends_it() {
        let mut watch = Watch::new(s(60));
        assert_eq!(watch.end(s(1)), None);
        watch.hear(say(done()), s(2));
        watch.feel(Pulse::Dead(Mortal::Browser, "gone".to_owned()));
        assert!(matches!(watch.end(s(2)), Some(End::Done(_))), "a death after the last word changes nothing");
    }

    #[test]
    fn a_death_is_told_with_what_was_being_done() {
        let mut watch = Watch::new(s(60));
        watch.hear(say(Message::Progress(Progress { stage: "compile".into(), fraction: 0.5 })), s(1));
        watch.feel(Pulse::Dead(Mortal::Page, "tab crashed".to_owned()));
        let (who, text) = (Mortal::Page, "tab crashed".to_owned());
        assert_eq!(watch.end(s(1)), Some(End::Died { who, stage: "compile".to_owned(), text }));
    }

    #[test]
    fn silence_is_death_sooner_if_the_driver_is_unsure() {
        let mut sure = Watch::new(s(600));
        sure.hear(Said::Heartbeat, s(1));
        let mut unsure = Watch::new(s(600));
        unsure.hear(Said::Heartbeat, s(1));
        unsure.feel(Pulse::Unclear("the driver does not answer".to_owned()));
        assert_eq!((sure.end(s(12)), sure.end(s(31)).is_none()), (None, true));
        assert!(matches!(sure.end(s(32)), Some(End::Died { who: Mortal::Page, .. })));
        assert_eq!(unsure.end(s(11)), None);
        assert!(matches!(unsure.end(s(12)), Some(End::Died { who: Mortal::Page, .. })));
    }

    #[test]
    fn silence_means_nothing_where_no_heart_ever_beat() {
        let mut watch = Watch::new(s(600));
        watch.hear(say(Message::Progress(Progress { stage: "run".into(), fraction: 0.5 })), s(1));
        assert_eq!(watch.end(s(599)), None);
    }

    #[test]
    fn the_deadline_says_whether_the_page_still_lived() {
        let mut watch = Watch::new(s(20));
        let stage = "load the page".to_owned();
        assert_eq!(watch.end(s(19)), None);
        assert_eq!(watch.end(s(20)), Some(End::Deadline { stage: stage.clone(), alive: false }));
        watch.hear(Said::Heartbeat, s(19));
        assert_eq!(watch.end(s(20)), Some(End::Deadline { stage, alive: true }));
    }
}
