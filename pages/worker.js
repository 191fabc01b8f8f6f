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

function choose(wanted) {
  if (!validates(simd)) throw new Error("this browser does not validate WebAssembly SIMD128");
  if (wanted) return { variant: wanted, reason: "asked for" };
  if (!validates(relaxed)) return { variant: "simd", reason: "a relaxed SIMD module does not validate" };
  return { variant: "relaxed", reason: "a relaxed SIMD module validates" };
}

// The runtimes that ours can be measured beside: a module of the page each, which a job loads when it needs it.
globalThis.peer = async (name, ...how) => (await import(`./${name}.js`)).open(...how);
// Sees what they do to devices.
globalThis.witness = async () => (await import("./witness.js")).watch();

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
    const { cell, trace } = JSON.parse(job).kind;
    const { variant, reason } = choose((cell ?? trace)?.variant);
    const before = performance.now();
    harness = await import(`/harness/${variant}/harness.js`);
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
      wire_version: 6,
      attempt,
      messages: [{ seq: 0, at_ms: performance.now(), message: { failed: { kind: "error", stage: "start", text } } }],
    });
    await post("messages", "POST", "application/json", batch).catch(() => {});
  }
  postMessage({ finished: true, fraction: 1 });
};
