// onnxruntime-web, for jobs that measure it beside ours or have it run a file. Nothing of it is loaded before a job asks.
const FOLDER = "/runtime/ort-web/";
// As its documentation has it: the small build for WebAssembly, the one with device backends for the others.
const BUNDLES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs", webnn: "ort.webgpu.min.mjs" };
// WebNN's device type where an application names none: a wish, not a fact.
const DEVICE_TYPE = "cpu";
const CONSOLE = ["debug", "error", "info", "log", "warn"];

// Loads the runtime, with as many threads as our engine has; `dims` are a model's symbolic dimensions.
export async function open(provider, threads, dims) {
  return new Runtime(await load(provider, threads, ""), provider, threads, dims);
}

// An `instance` of its own has its own memory, devices and settings.
async function load(provider, threads, instance) {
  const ort = await import(FOLDER + BUNDLES[provider] + instance);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = FOLDER;
  return ort;
}

class Runtime {
  constructor(ort, provider, threads, dims) {
    this.ort = ort;
    this.provider = provider;
    this.threads = threads;
    this.dims = dims;
  }

  get facts() {
    const { versions, wasm } = this.ort.env;
    const deviceType = this.provider === "webnn" ? DEVICE_TYPE : "";
    return { version: versions.web ?? versions.common, threads: wasm.numThreads, deviceType };
  }

  // Exactly one provider: with a list, its own fallback would choose for us.
  options(more) {
    const { provider, dims } = this;
    const wanted = provider === "webnn" ? { name: provider, deviceType: DEVICE_TYPE } : provider;
    return { executionProviders: [wanted], freeDimensionOverrides: dims, ...more };
  }

  create(model) {
    return this.ort.InferenceSession.create(model, this.options());
  }

  // Where it puts the nodes of a model: what no provider asked for takes, its CPU provider runs without a word
  // outside this log. In an instance of its own, because logging costs time and is settled with the first session.
  async placed(model) {
    const ort = await load(this.provider, this.threads, "?placed");
    ort.env.logLevel = "verbose";
    const kept = CONSOLE.map((name) => [name, console[name]]);
    const lines = [];
    for (const name of CONSOLE) console[name] = (...words) => lines.push(words.join(" "));
    try {
      const options = this.options({ logSeverityLevel: 0, logVerbosityLevel: 0 });
      await (await ort.InferenceSession.create(model, options)).release();
    } finally {
      for (const [name, method] of kept) console[name] = method;
    }
    return placements(lines);
  }

  release(session) {
    return session.release();
  }

  // `inputs`: name, type, dims and data of each. The outputs in the same form, their data in JavaScript's memory.
  async run(session, inputs) {
    const { Tensor } = this.ort;
    const feeds = {};
    for (const { name, type, dims, data } of inputs) feeds[name] = new Tensor(type, data, dims);
    const outputs = await session.run(feeds);
    return Object.entries(outputs).map(([name, { type, dims, data }]) => ({ name, type, dims, data }));
  }
}

// "All nodes placed on [X]. Number of nodes: 3", or "Node(s) placed on [X]. …" for each provider, then a line "  Op (name)"
// for each of its nodes. A line is looked for only where one is due, so that no name can pass for one.
function placements(log) {
  const lines = log.map((line) => line.replace(/\x1b\[[\d;]*m/g, "").trimEnd());
  const placed = [];
  for (let at = 0; at < lines.length; at += 1) {
    const header = /VerifyEachNodeIsAssignedToAnEp\]\s+(All nodes|Node\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)$/;
    const [, which, provider, count] = header.exec(lines[at]) ?? [];
    if (!provider) continue;
    const [nodes, ops] = [Number(count), {}];
    if (which === "Node(s)") {
      for (const line of lines.slice(at + 1, at + 1 + nodes)) {
        const [, op] = /VerifyEachNodeIsAssignedToAnEp\]\s+(\w+) \(/.exec(line) ?? [, "node"];
        ops[op] = (ops[op] ?? 0) + 1;
      }
      at += nodes;
    } else if (nodes > 0) {
      ops.node = nodes;
    }
    placed.push({ provider, nodes, ops: Object.entries(ops).map(([op, count]) => ({ op, count })) });
  }
  return placed;
}
