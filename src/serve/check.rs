//! What a batch must satisfy beyond its types before a word of it is believed.

use webmatrix_wire::{Batch, Capability, Envelope, Message, ProbeReport, WIRE_VERSION};

/// Longer than any attempt may take: a page's clock that says more is wrong. Milliseconds.
const LONGEST_MS: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// A batch that is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum BadBatch {
    #[error("wire version {0} is not the controller's {WIRE_VERSION}: reload the page")]
    Version(u32),
    #[error("the batch is of attempt {0:?}, the address of another")]
    Attempt(String),
    #[error("message {seq} follows message {before}: sequence numbers count up by one")]
    Order { seq: u64, before: u64 },
    #[error("message {seq} came where {next} was due: something in between is lost")]
    Gap { seq: u64, next: u64 },
    #[error("message {0} comes after the attempt's last word")]
    AfterEnd(u64),
    #[error("message {seq}: {what} is {value:?}")]
    Value { seq: u64, what: &'static str, value: f64 },
}

/// The messages of the batch that are new, given the next sequence number that is due.
///
/// The whole batch is refused if any part of it is bad: a page that says nonsense once is not
/// believed about the rest either.
pub(super) fn fresh(batch: Batch, attempt: &str, next: u64, ended: bool) -> Result<Vec<Envelope>, BadBatch> {
    if batch.wire_version != WIRE_VERSION {
        return Err(BadBatch::Version(batch.wire_version));
    }
    if batch.attempt.0 != attempt {
        return Err(BadBatch::Attempt(batch.attempt.0));
    }
    for pair in batch.messages.windows(2) {
        let (before, seq) = (pair[0].seq, pair[1].seq);
        if Some(seq) != before.checked_add(1) {
            return Err(BadBatch::Order { seq, before });
        }
    }
    let mut over = ended;
    let mut due = next;
    let mut new = Vec::with_capacity(batch.messages.len());
    for envelope in batch.messages {
        values(&envelope)?;
        if envelope.seq < due {
            continue;
        }
        if envelope.seq > due {
            return Err(BadBatch::Gap { seq: envelope.seq, next: due });
        }
        if over {
            return Err(BadBatch::AfterEnd(envelope.seq));
        }
        over = is_last(&envelope.message);
        due += 1;
        new.push(envelope);
    }
    Ok(new)
}

/// Whether nothing may follow this message.
pub(super) const fn is_last(message: &Message) -> bool {
    matches!(message, Message::Done(_) | Message::Failed(_))
}

/// Every number is finite and possible.
fn values(envelope: &Envelope) -> Result<(), BadBatch> {
    let refuse = |what, value| Err(BadBatch::Value { seq: envelope.seq, what, value });
    let time = |what, ms: f64| if (0.0..=LONGEST_MS).contains(&ms) { Ok(()) } else { refuse(what, ms) };
    time("at_ms", envelope.at_ms)?;
    match &envelope.message {
        Message::Timing(timing) => time("timing.ms", timing.ms),
        Message::Sample(sample) => time("sample.ms", sample.ms),
        Message::Pair(pair) => {
            time("pair.ours_ms", pair.ours_ms).and_then(|()| time("pair.peer_ms", pair.peer_ms))
        }
        Message::Tokens(tokens) => {
            let mut before = 0.0;
            tokens.ms.iter().try_for_each(|&ms| {
                time("tokens.ms", ms)?;
                if ms < before {
                    return refuse("tokens.ms", ms);
                }
                before = ms;
                Ok(())
            })
        }
        Message::Done(done) => time("done.page_ms", done.page_ms),
        Message::Metric(metric) if !metric.value.is_finite() => refuse("metric.value", metric.value),
        Message::Progress(progress) if !(0.0..=1.0).contains(&progress.fraction) => {
            refuse("progress.fraction", progress.fraction)
        }
        Message::Probe(report) => probe(report).map_or(Ok(()), |(what, value)| refuse(what, value)),
        _ => Ok(()),
    }
}

/// The first impossible number of a probe.
fn probe(report: &ProbeReport) -> Option<(&'static str, f64)> {
    fn took<T>(tried: &Capability<T>) -> (&'static str, f64) {
        ("capability.ms", tried.ms)
    }
    let times = report.webgpu.iter().map(took).chain(report.webnn.iter().map(took));
    let steps = [
        ("timers.performance_now_us", Some(report.timers.performance_now_us)),
        ("timers.gpu_timestamp_us", report.timers.gpu_timestamp_us),
        ("environment.device_memory_gib", report.environment.device_memory_gib),
    ];
    let steps = steps.into_iter().filter_map(|(what, value)| Some((what, value?)));
    times.chain(steps).find(|(_, value)| !(0.0..=LONGEST_MS).contains(value))
}

#[cfg(test)]
mod tests {
    use webmatrix_wire::{AttemptId, Done, Metric, Progress, Sample};

    use super::*;

    fn envelope(seq: u64, message: Message) -> Envelope {
        Envelope { seq, at_ms: 1.0, message }
    }

    fn sample(seq: u64, ms: f64) -> Envelope {
        envelope(seq, Message::Sample(Sample { index: 0, warmup: false, ms }))
    }

    fn batch(messages: Vec<Envelope>) -> Batch {
        Batch { wire_version: WIRE_VERSION, attempt: AttemptId("a".to_owned()), messages }
    }

    fn seqs(batch: Batch, next: u64) -> Result<Vec<u64>, BadBatch> {
        fresh(batch, "a", next, false).map(|new| new.iter().map(|envelope| envelope.seq).collect())
    }

    #[test]
    fn only_what_is_new_is_taken() {
        let messages = || vec![sample(3, 1.0), sample(4, 1.0), sample(5, 1.0)];
        assert_eq!(seqs(batch(messages()), 3), Ok(vec![3, 4, 5]));
        assert_eq!(seqs(batch(messages()), 5), Ok(vec![5]));
        assert_eq!(seqs(batch(messages()), 9), Ok(vec![]));
        assert_eq!(seqs(batch(messages()), 2), Err(BadBatch::Gap { seq: 3, next: 2 }));
    }

    #[test]
    fn disorder_is_refused() {
        assert_eq!(
            seqs(batch(vec![sample(1, 1.0), sample(0, 1.0)]), 0),
            Err(BadBatch::Order { seq: 0, before: 1 })
        );
        let mut other = batch(vec![]);
        other.attempt.0 = "b".to_owned();
        assert_eq!(seqs(other, 0), Err(BadBatch::Attempt("b".to_owned())));
        let mut old = batch(vec![]);
        old.wire_version = 0;
        assert_eq!(seqs(old, 0), Err(BadBatch::Version(0)));
        let done = || envelope(0, Message::Done(Done { page_ms: 1.0, outputs: vec![] }));
        assert_eq!(seqs(batch(vec![done(), sample(1, 1.0)]), 0), Err(BadBatch::AfterEnd(1)));
        assert_eq!(fresh(batch(vec![sample(1, 1.0)]), "a", 1, true), Err(BadBatch::AfterEnd(1)));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e18] {
            assert!(matches!(seqs(batch(vec![sample(0, bad)]), 0), Err(BadBatch::Value { .. })), "{bad}");
        }
        for message in [
            Message::Metric(Metric { name: "x".into(), value: f64::NAN, unit: "1".into() }),
            Message::Progress(Progress { stage: "x".into(), fraction: 1.5 }),
        ] {
            assert!(matches!(seqs(batch(vec![envelope(0, message)]), 0), Err(BadBatch::Value { .. })));
        }
    }
}
