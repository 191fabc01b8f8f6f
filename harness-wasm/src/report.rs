//! Messages to the controller, and updates for the person who watches the page.

use std::cell::{Cell, RefCell};

use wasm_bindgen::JsValue;
use webmatrix_wire::{
    AttemptId, Batch, Done, Envelope, Failed, FailureKind, Hello, Log, LogLevel, Memory, Message, Metric,
    Phase, Progress, Sample, Timing, Tokens, Variant, WIRE_VERSION,
};

use crate::client::Client;
use crate::memory;
use crate::sys::{Function, device_was_lost, flag, global, navigator, now, text};

/// Why a job could not be finished.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) stage: &'static str,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, stage: &'static str, text: impl Into<String>) -> Self {
        Self { kind, stage, text: text.into() }
    }

    /// The engine's error, sorted into the kinds that the controller tells apart.
    pub(crate) fn engine(stage: &'static str, error: &webmatrix_engine::Error) -> Self {
        use webmatrix_engine::Error;
        let kind = match error {
            _ if device_was_lost(None) => FailureKind::DeviceLost,
            Error::DeviceLost(_) => FailureKind::DeviceLost,
            Error::OutOfMemory(_) => FailureKind::Oom,
            Error::OverLimit { .. } => FailureKind::OverLimit,
            Error::Unsupported { .. } => FailureKind::Unsupported,
            Error::UnknownClass(_) => FailureKind::NotImplemented,
            _ => FailureKind::Error,
        };
        Self::new(kind, stage, error.to_string())
    }
}

impl From<Failure> for Failed {
    fn from(Failure { kind, stage, text }: Failure) -> Self {
        Self { kind, stage: stage.into(), text }
    }
}

thread_local! {
    // Outside the reporter, because last words are spoken after it is gone.
    static NEXT_SEQ: Cell<u64> = const { Cell::new(0) };
    static ATTEMPT: RefCell<String> = const { RefCell::new(String::new()) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps a panic's text for [`last_words`]: the trap that follows carries none.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()))));
}

fn envelope(message: Message) -> Envelope {
    let seq = NEXT_SEQ.with(|next| next.replace(next.get() + 1));
    Envelope { seq, at_ms: now(), message }
}

/// The batch that tells the controller of a death.
pub(crate) fn last_words(trap: &str) -> String {
    let refused = memory::refused();
    let text = match (PANIC.with(|panic| panic.borrow().clone()), refused) {
        (Some(text), _) => text,
        (None, Some(size)) => format!("an allocation of {size} bytes failed: {trap}"),
        (None, None) => trap.to_owned(),
    };
    let kind = match refused {
        _ if device_was_lost(None) => FailureKind::DeviceLost,
        Some(_) => FailureKind::Oom,
        None => FailureKind::Error,
    };
    let failed = Message::Failed(Failed { kind, stage: "harness".into(), text });
    let batch = Batch {
        wire_version: WIRE_VERSION,
        attempt: AttemptId(ATTEMPT.with(|attempt| attempt.borrow().clone())),
        messages: vec![envelope(failed)],
    };
    serde_json::to_string(&batch).unwrap_or_default()
}

/// Milliseconds for which messages gather while one stage goes on: whoever takes them in works on the machine that is being
/// measured, and a message per inference keeps one of its cores busy.
const GATHER_MS: f64 = 1000.0;

/// Collects messages and sends them in batches.
#[derive(Debug)]
pub(crate) struct Reporter {
    client: Client,
    attempt: AttemptId,
    queue: RefCell<Vec<Envelope>>,
    /// What went on when messages were last sent, and when that was.
    sent: Cell<(&'static str, f64)>,
    outputs: RefCell<Vec<String>>,
    /// When the job began.
    began: f64,
    show: Function,
}

impl Reporter {
    pub(crate) fn new(client: Client, attempt: &AttemptId, show: Function) -> Self {
        ATTEMPT.with(|known| known.borrow_mut().clone_from(&attempt.0));
        Self {
            client,
            attempt: attempt.clone(),
            queue: RefCell::default(),
            sent: Cell::new(("", 0.0)),
            outputs: RefCell::default(),
            began: now(),
            show,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    fn show(&self, update: &serde_json::Value) {
        // Showing is a courtesy: a page that cannot show must still measure.
        let _ = self.show.call1(&JsValue::NULL, &update.to_string().into());
    }

    pub(crate) fn title(&self, title: &str) {
        self.show(&serde_json::json!({ "title": title }));
    }

    pub(crate) fn send(&self, message: Message) {
        self.queue.borrow_mut().push(envelope(message));
    }

    pub(crate) fn hello(&self, variant: Variant, variant_reason: String) {
        self.send(Message::Hello(Hello {
            variant,
            variant_reason,
            user_agent: text(&navigator(), "userAgent"),
            cross_origin_isolated: flag(&global(), "crossOriginIsolated"),
        }));
    }

    pub(crate) fn timing(&self, phase: Phase, ms: f64) {
        self.send(Message::Timing(Timing { phase, ms: ms.max(0.0) }));
    }

    /// The first inference is over, and with it the start.
    pub(crate) fn first(&self, ms: f64) {
        self.timing(Phase::First, ms);
        self.timing(Phase::Start, now() - self.began);
    }

    pub(crate) fn sample(&self, index: u32, warmup: bool, ms: f64) {
        self.send(Message::Sample(Sample { index, warmup, ms: ms.max(0.0) }));
    }

    pub(crate) fn tokens(&self, sample: u32, ms: Vec<f64>) {
        self.send(Message::Tokens(Tokens { sample, ms }));
    }

    pub(crate) fn metric(&self, name: &str, value: f64, unit: &str) {
        self.send(Message::Metric(Metric { name: name.into(), value, unit: unit.into() }));
    }

    /// What is in use of memory, with what the allocator knows of it.
    pub(crate) fn memory(&self, mut memory: Memory) {
        memory.bytes.extend(memory::heap());
        self.send(Message::Memory(memory));
    }

    pub(crate) fn log(&self, level: LogLevel, text: impl Into<String>) {
        let text = text.into();
        self.show(&serde_json::json!({ "log": text }));
        self.send(Message::Log(Log { level, text }));
    }

    /// Says what comes next, and sends what has gathered, unless the same goes on and was said a moment ago.
    pub(crate) async fn progress(&self, stage: &'static str, fraction: f64) -> Result<(), Failure> {
        let (last, at) = self.sent.get();
        if last == stage && now() - at < GATHER_MS {
            return Ok(());
        }
        self.sent.set((stage, now()));
        self.show(&serde_json::json!({ "stage": stage, "fraction": fraction }));
        self.send(Message::Progress(Progress { stage: stage.into(), fraction }));
        self.flush().await.map_err(|text| Failure::new(FailureKind::Error, stage, text))
    }

    pub(crate) async fn flush(&self) -> Result<(), String> {
        let messages = self.queue.take();
        if messages.is_empty() {
            return Ok(());
        }
        let batch = Batch { wire_version: WIRE_VERSION, attempt: self.attempt.clone(), messages };
        self.client.post(&batch).await
    }

    /// Uploads outputs and remembers their names for [`Done`].
    pub(crate) async fn outputs(&self, names: Vec<String>, bytes: &[u8]) -> Result<(), Failure> {
        let sent = self.client.put_outputs(bytes).await;
        sent.map_err(|text| Failure::new(FailureKind::Error, "upload", text))?;
        self.outputs.replace(names);
        Ok(())
    }

    /// Sends the last message.
    pub(crate) async fn finish(
        &self,
        outcome: Result<(), Failure>,
        page_ms: f64,
    ) -> Result<(), wasm_bindgen::JsError> {
        match outcome {
            Ok(()) => {
                self.show(&serde_json::json!({ "stage": "Done", "fraction": 1 }));
                self.send(Message::Done(Done { page_ms, outputs: self.outputs.take() }));
            }
            Err(failure) => {
                let (stage, text) = (failure.stage, &failure.text);
                self.show(
                    &serde_json::json!({ "stage": format!("Failed: {stage}"), "log": text, "kind": "error" }),
                );
                self.send(Message::Failed(failure.into()));
            }
        }
        self.flush().await.map_err(|text| wasm_bindgen::JsError::new(&text))
    }
}
