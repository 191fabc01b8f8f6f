//! Browsers that are none: sessions whose pages are tasks of this process.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use webmatrix::analyse::Rules;
use webmatrix::collect::{
    self, Context, Given, Journal, Launcher, OwnWeights, Quiet, Record, Recorder, RunStarted, Settings,
    Sources, Step, Stop, Versions,
};
use webmatrix::discover::{Channel, Installed, Source};
use webmatrix::event::Events;
use webmatrix::plan::axis::BrowserKind;
use webmatrix::plan::{self, Found, Overrides, Plan};
use webmatrix::serve::{Attempts, Server};
use webmatrix::session::{Closed, Ending, Flags, Health, Session, SessionError, SessionFacts, Usage};
use webmatrix::store::{CellRow, Database};
use webmatrix_wire::{
    Backend, BackendFacts, Capability, Challenge, Done, Envelope, EnvironmentFacts, Failed, FailureKind,
    Hello, Job, JobKind, Message, ModelSource, OpCount, ProbeReport, Sample, TimerFacts, Variant,
    WIRE_VERSION, WasmFacts,
};

use webmatrix_engine::run::{Loaded, Options, trace};
use webmatrix_engine::tensor::write_safetensors;

use crate::faulty::Faulty;
use crate::http::Address;

/// What the page of a cell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Everything right.
    Good,
    /// One element of an output is off.
    WrongOutput,
    /// Says that it is done without handing in anything.
    NoOutput,
    /// The known answer is that of another nonce.
    CannedChallenge,
    /// Another backend did the work.
    Fallback,
    /// Says that it failed.
    Fail(FailureKind),
    /// Its process dies.
    Crash,
    /// Says nothing more, but its heart beats.
    Hang,
    /// One op of one layer computes too much.
    WrongKernel,
}

/// Scripts by cell id: the acts of its first, second, … try; the last is repeated. Without: good.
pub(crate) type Script = HashMap<String, Vec<Act>>;

/// A machine with one browser, `chromium`, that is played.
pub(crate) struct Stage {
    pub(crate) script: Script,
    /// What its probe says of WebNN.
    pub(crate) webnn_error: Option<String>,
    /// Sessions started so far.
    pub(crate) sessions: AtomicU32,
    /// Asked to stop when the page of this cell is opened.
    pub(crate) stop_at: Option<String>,
    pub(crate) stop: Stop,
    tries: Mutex<HashMap<String, usize>>,
    /// The last page's address, kept by tests that speak as a page themselves.
    pub(crate) last: Mutex<Option<Address>>,
}

impl Stage {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            webnn_error: Some("NotSupportedError: WebNN is off".to_owned()),
            sessions: AtomicU32::new(0),
            stop_at: None,
            stop: Stop::default(),
            tries: Mutex::default(),
            last: Mutex::default(),
        }
    }

    fn act(&self, title: &str) -> Act {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let number = tries.entry(title.to_owned()).or_default();
        let acts = self.script.get(title).map_or(&[][..], Vec::as_slice);
        let act = acts.get(*number).or(acts.last()).copied().unwrap_or(Act::Good);
        *number += 1;
        act
    }
}

/// Starts sessions on a stage.
pub(crate) struct FakeLauncher(pub(crate) Arc<Stage>);

#[async_trait]
impl Launcher for FakeLauncher {
    async fn start(&self, browser: &str) -> Result<Box<dyn Session>, String> {
        self.0.sessions.fetch_add(1, Ordering::Relaxed);
        let health = Arc::new(Mutex::new(Health::Alive));
        Ok(Box::new(FakeSession { stage: self.0.clone(), facts: facts(browser), health }))
    }
}

struct FakeSession {
    stage: Arc<Stage>,
    facts: SessionFacts,
    health: Arc<Mutex<Health>>,
}

#[async_trait]
impl Session for FakeSession {
    fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    async fn open(&mut self, url: &str) -> Result<(), SessionError> {
        let (address, stage, health) = (Address::of(url), self.stage.clone(), self.health.clone());
        *stage.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
        tokio::spawn(async move { page(&address, &stage, &health).await });
        Ok(())
    }

    async fn execute(&mut self, _: &str) -> Result<serde_json::Value, SessionError> {
        Ok(serde_json::Value::Null)
    }

    async fn screenshot(&mut self) -> Result<Vec<u8>, SessionError> {
        Ok(Vec::new())
    }

    async fn health(&mut self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usage(&self) -> Option<Usage> {
        None
    }

    fn log_tail(&self, _: usize) -> Vec<String> {
        vec!["the driver's last words".to_owned()]
    }

    async fn close(self: Box<Self>) -> Closed {
        Closed { how: Ending::Graceful, strays: vec![], took: Duration::ZERO }
    }
}

fn facts(label: &str) -> SessionFacts {
    SessionFacts {
        browser: Installed {
            label: label.to_owned(),
            kind: BrowserKind::Chromium,
            channel: Channel::Stable,
            version: None,
            path: "/nowhere/chromium".into(),
            source: Source::Flag,
            driver: None,
            problems: vec![],
        },
        browser_name: "chromium".to_owned(),
        browser_version: "156.0".to_owned(),
        platform: "linux".to_owned(),
        user_agent: None,
        driver_version: None,
        driver_pid: None,
        driver_args: vec![],
        browser_pid: None,
        asked: serde_json::Value::Null,
        returned: serde_json::Value::Null,
        flags: Flags { requested: vec!["--headless".to_owned()], effective: None, missing: vec![] },
        environment: vec![],
        no_sandbox: true,
        log: None,
        driver_time: Duration::ZERO,
        session_time: Duration::ZERO,
    }
}

/// A page from its first request to its last.
async fn page(address: &Address, stage: &Stage, health: &Mutex<Health>) {
    let (status, body) = address.call("GET", "job", b"").await;
    assert_eq!(status, 200);
    let job: Job = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}"));
    if stage.stop_at.as_ref() == Some(&job.title) {
        stage.stop.ask();
        return;
    }
    let mut seq = 0;
    let hello = Hello {
        variant: Variant::Simd,
        variant_reason: "the only one".to_owned(),
        user_agent: "fake".to_owned(),
        cross_origin_isolated: true,
    };
    say(address, &mut seq, Message::Hello(hello)).await;
    let outputs = match &job.kind {
        JobKind::Ops { .. } | JobKind::Pairs(_) | JobKind::Cold { .. } => {
            panic!("a run has no such job")
        }
        // Only what is wrong is traced.
        JobKind::Trace(cell) => {
            hand_in(address, &wrong_kernel(&cell.class, |_| true)).await;
            vec![]
        }
        JobKind::Probe {} => {
            say(address, &mut seq, Message::Probe(Box::new(probe(stage)))).await;
            vec![]
        }
        JobKind::Cell(cell) => {
            let act = stage.act(&job.title);
            let expected = golden(&cell.class, "expected.safetensors");
            let ModelSource::Files { inputs, .. } = &cell.model else { panic!("{:?}", cell.model) };
            let (status, inputs) = address.call("GET", &format!("files/{inputs}"), b"").await;
            assert_eq!((status, inputs), (200, golden(&cell.class, "inputs.safetensors")));
            say(address, &mut seq, Message::Sample(Sample { index: 0, warmup: true, ms: 9.0 })).await;
            say(address, &mut seq, Message::Sample(Sample { index: 1, warmup: false, ms: 2.5 })).await;
            say(address, &mut seq, Message::Backend(Box::new(backend(cell.backends[0], job.nonce, act))))
                .await;
            match act {
                Act::Good | Act::CannedChallenge | Act::Fallback => hand_in(address, &expected).await,
                Act::WrongOutput => {
                    let mut wrong = expected;
                    let at = wrong.len() - 2;
                    wrong[at] ^= 0x40;
                    hand_in(address, &wrong).await;
                }
                Act::WrongKernel => {
                    let is_output = |name: &str| Step::parse(name).is_none();
                    hand_in(address, &wrong_kernel(&cell.class, is_output)).await;
                }
                Act::NoOutput => {}
                Act::Fail(kind) => {
                    let failed =
                        Failed { kind, stage: "compile".to_owned(), text: "in the page's words".to_owned() };
                    return say(address, &mut seq, Message::Failed(failed)).await;
                }
                Act::Crash => {
                    *health.lock().unwrap_or_else(PoisonError::into_inner) = Health::TabCrashed;
                    return;
                }
                Act::Hang => loop {
                    let (status, _) = address.call("POST", "heartbeat", b"").await;
                    if status != 204 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
            }
            vec!["logits".to_owned()]
        }
    };
    say(address, &mut seq, Message::Done(Done { page_ms: 5.0, outputs })).await;
}

/// What a page with a wrong kernel computes of a golden, as far as its name is wanted.
fn wrong_kernel(class: &str, wanted: fn(&str) -> bool) -> Vec<u8> {
    let loaded = loaded(class, golden(class, "model.safetensors"));
    let faulty = Faulty::new("attention", "encoder.layer.1");
    let computed = pollster::block_on(trace(&loaded, faulty, Options::default()));
    let mut computed = computed.unwrap_or_else(|error| panic!("{error}"));
    computed.retain(|name, _| wanted(name));
    write_safetensors(&computed).unwrap_or_else(|error| panic!("{error}"))
}

/// A golden with these weights, as the engine loads it.
pub(crate) fn loaded(class: &str, weights: Vec<u8>) -> Loaded {
    let shards = vec![("model.safetensors".to_owned(), weights)];
    let (config, inputs) = (golden(class, "config.json"), golden(class, "inputs.safetensors"));
    Loaded::from_files(class, &config, None, shards, &inputs).unwrap_or_else(|error| panic!("{error}"))
}

async fn hand_in(address: &Address, outputs: &[u8]) {
    assert_eq!(address.call("PUT", "outputs", outputs).await.0, 204);
}

async fn say(address: &Address, seq: &mut u64, message: Message) {
    let batch = webmatrix_wire::Batch {
        wire_version: WIRE_VERSION,
        attempt: webmatrix_wire::AttemptId(address.attempt.clone()),
        messages: vec![Envelope { seq: *seq, at_ms: *seq as f64, message }],
    };
    let body = serde_json::to_vec(&batch).unwrap_or_else(|error| panic!("{error}"));
    let (status, answer) = address.call("POST", "messages", &body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    *seq += 1;
}

fn backend(asked: Backend, nonce: u32, act: Act) -> BackendFacts {
    let ran = if act == Act::Fallback { Backend::Wasm } else { asked };
    let nonce = if act == Act::CannedChallenge { nonce.wrapping_add(2) } else { nonce };
    BackendFacts {
        backend: ran,
        steps_down: vec![],
        adapter: None,
        webnn_device_type: None,
        challenge: Some(Challenge { answer: Challenge::expected(nonce) }),
        ops: vec![OpCount { op: "matmul".to_owned(), backend: ran, count: 3 }],
        dispatches: 3,
        ..BackendFacts::new(ran)
    }
}

fn probe(stage: &Stage) -> ProbeReport {
    ProbeReport {
        webgpu: vec![tried("high-performance", None)],
        webnn: vec![tried("cpu", stage.webnn_error.clone())],
        wasm: WasmFacts { features: BTreeMap::new(), shared_memory: true },
        environment: EnvironmentFacts {
            user_agent: "fake".to_owned(),
            hardware_concurrency: 2,
            device_memory_gib: None,
            secure_context: true,
            cross_origin_isolated: true,
            in_worker: true,
        },
        timers: TimerFacts { performance_now_us: 100.0, gpu_timestamp_us: None },
    }
}

fn tried<T>(name: &str, error: Option<String>) -> Capability<T> {
    Capability { name: name.to_owned(), present: true, usable: error.is_none(), error, ms: 1.0, facts: None }
}

pub(crate) fn golden(class: &str, file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(class).join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A plan for `chromium` with these classes and backends, quick to fail.
pub(crate) fn plan(models: &[&str], backends: &[Backend], attempt_s: u32) -> Plan {
    let text =
        "name = \"test\"\n[axes]\nbrowsers = [\"chromium\"]\nmodels = [\"all\"]\nbackends = [\"wasm\"]\n";
    let matrix = plan::parse("test", text).unwrap_or_else(|error| panic!("{error}"));
    let overrides = Overrides {
        models: Some(models.iter().map(|model| (*model).to_owned()).collect()),
        backends: Some(backends.to_vec()),
        attempt_s: Some(attempt_s),
        ..Overrides::default()
    };
    let found = [Found { label: "chromium".to_owned(), problem: None }];
    plan::plan(&matrix, &overrides, &found).unwrap_or_else(|error| panic!("{error}"))
}

/// Begins or takes up a run in `out`.
pub(crate) async fn context(out: &Path, plan: &Plan, stage: &Arc<Stage>, resume: bool) -> Context {
    let recorder = if resume {
        let (journal, before) = Journal::resume(out, "R1").unwrap_or_else(|error| panic!("{error}"));
        Arc::new(Recorder::new(journal, out, Box::new(|_| ()), &before))
    } else {
        let journal = Journal::create(out, "R1").unwrap_or_else(|error| panic!("{error}"));
        let recorder = Arc::new(Recorder::new(journal, out, Box::new(|_| ()), &[]));
        let started = RunStarted {
            plan: plan.clone(),
            environment: BTreeMap::new(),
            versions: Versions { webmatrix: "test".to_owned(), wire: WIRE_VERSION, harness: String::new() },
            arguments: vec![],
        };
        recorder.record(Record::RunStarted(Box::new(started))).unwrap_or_else(|error| panic!("{error}"));
        recorder
    };
    let attempts = Attempts::default();
    let server =
        Server::start(attempts.clone(), recorder.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    Context {
        recorder,
        server,
        attempts,
        launcher: Arc::new(FakeLauncher(stage.clone())),
        judge: Arc::new(Rules::by(&plan.thresholds)),
        sources: Arc::new(Sources::new(OwnWeights::new(), Given::default())),
        events: Events::none(),
        stop: stage.stop.clone(),
        quiet: Quiet::default(),
        settings: Settings::of(plan),
    }
}

/// The cells of a run, rebuilt from its journal alone.
pub(crate) fn rows(out: &Path) -> Vec<CellRow> {
    let (_, entries) = Journal::resume(out, "R1").unwrap_or_else(|error| panic!("{error}"));
    let database = Database::in_memory().unwrap_or_else(|error| panic!("{error}"));
    database.apply(&entries).unwrap_or_else(|error| panic!("{error}"));
    database.cells("R1").unwrap_or_else(|error| panic!("{error}"))
}

/// Plays a whole run, and gives a line for each of its cells.
pub(crate) async fn play(out: &Path, plan: &Plan, stage: &Arc<Stage>) -> String {
    let ctx = context(out, plan, stage, false).await;
    collect::collect(&ctx, plan, 1).await.unwrap_or_else(|error| panic!("{error}"));
    lines(&rows(out))
}

/// Model, backend, status, evidence, implementation, flaky, reason.
pub(crate) fn lines(rows: &[CellRow]) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let line = |row: &CellRow| {
        let flaky = if row.flaky == Some(true) { " flaky" } else { "" };
        let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!(
            "{} {} {} {} {}{flaky}{reason}",
            row.model,
            row.backend,
            or(&row.status),
            or(&row.evidence),
            or(&row.implementation)
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
