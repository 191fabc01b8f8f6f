// Picks the harness build that this browser validates, and hands over to it. A WebAssembly engine
// validates a whole module, so features are chosen by module, each by a tiny module that uses it.
const validates = (bytes) => {
  try {
    return WebAssembly.validate(new Uint8Array(bytes));
  } catch {
    return false;
  }
};
const header = [0, 97, 115, 109, 1, 0, 0, 0];
// () -> v128: i8x16.splat
const simd = [...header, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
// () -> v128: f32x4.relaxed_madd
const relaxed = [
  ...header, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11,
];

// Shared memory; () -> i32: i32.atomic.load
const shared = [
  ...header, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 10, 1, 8, 0, 65, 0, 254, 16, 2, 0, 11,
];

const unsupported = (text) => Object.assign(new Error(text), { kind: "unsupported" });

// Why a module is not taken, in the engine's words.
const refusal = (bytes) => {
  try {
    new WebAssembly.Module(new Uint8Array(bytes));
  } catch (error) {
    return `${error?.name ?? "Error"}: ${error?.message ?? error}`;
  }
  return "no reason was given";
};

// The build for a job: `variant` is what it must have besides SIMD128, `relaxed` whether relaxed SIMD is to be in it.
function choose({ variant, relaxed: wanted }) {
  if (!validates(simd)) throw new Error("this browser does not validate WebAssembly SIMD128");
  const can = validates(relaxed);
  const taken = wanted ?? can;
  let reason = can ? "a relaxed SIMD module validates" : "a relaxed SIMD module does not validate";
  if (wanted === true && !can) throw unsupported(`${reason}: ${refusal(relaxed)}`);
  if (wanted === true) reason = `relaxed SIMD was asked for; ${reason}`;
  if (wanted === false) reason = "SIMD128 alone was asked for";
  if (variant === "threads") {
    if (!globalThis.crossOriginIsolated) throw unsupported("threads share memory: crossOriginIsolated is false here");
    if (!validates(shared)) throw unsupported("a module with shared memory and atomics does not validate");
    return { variant: taken ? "relaxed-threads" : "threads", reason: `threads were asked for; ${reason}` };
  }
  if (variant) return { variant, reason: "asked for" };
  return { variant: taken ? "relaxed" : "simd", reason };
}

// The runtimes that ours can be measured beside: a module of the page each, which a job loads when it needs it.
globalThis.peer = async (name, ...how) => (await import(`./${name}.js`)).open(...how);
// Sees what they do to devices.
globalThis.witness = async () => (await import("./witness.js")).watch();

// Starts the threads of a job but for its own: resolves when all of them are about to wait for work.
const threads = (script) => (count, module, memory) => {
  const started = Array.from({ length: count - 1 }, (_, at) => {
    const worker = new Worker("thread.js", { type: "module" });
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data: { error } }) => (error ? reject(new Error(error)) : resolve(worker));
      worker.onerror = (event) => reject(new Error(event.message || "the worker of a thread could not be loaded"));
      worker.postMessage({ script, module, memory, number: at + 1 });
    });
  });
  return Promise.all(started);
};

onmessage = async ({ data: { attempt, token, started } }) => {
  const post = (path, method, type, body) =>
    fetch(`/api/attempts/${attempt}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": type },
      body,
    });
  let harness;
  try {
    const response = await fetch(`/api/attempts/${attempt}/job`, { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new Error(`the job could not be fetched: ${response.status} ${await response.text()}`);
    const job = await response.text();
    const { variant, reason } = choose(JSON.parse(job));
    const script = `/harness/${variant}/harness.js`;
    globalThis.threads = threads(script);
    const before = performance.now();
    harness = await import(script);
    await harness.default({ module_or_path: `/harness/${variant}/harness_bg.wasm` });
    await harness.run(job, token, variant, reason, performance.timeOrigin + performance.now() - started, before, (update) =>
      postMessage(JSON.parse(update)),
    );
  } catch (error) {
    const text = `${error?.name ?? "Error"}: ${error?.message ?? error}`;
    postMessage({ stage: "Failed", log: text, kind: "error" });
    // The instance may be dead, but its memory still knows which message comes next.
    let batch;
    try {
      batch = harness?.last_words(text);
    } catch {}
    batch ??= JSON.stringify({
      wire_version: 8,
      attempt,
      messages: [{ seq: 0, at_ms: performance.now(), message: { failed: { kind: error?.kind ?? "error", stage: "start", text } } }],
    });
    await post("messages", "POST", "application/json", batch).catch(() => {});
  }
  postMessage({ finished: true, fraction: 1 });
};
