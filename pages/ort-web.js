// onnxruntime-web, for jobs that measure it beside ours. Nothing of it is loaded before a job asks.
const FOLDER = "/runtime/ort-web/";
// As its documentation has it: the small build for WebAssembly, the one with device backends for the others.
const BUNDLES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs", webnn: "ort.webgpu.min.mjs" };
const CONSOLE = ["debug", "error", "info", "log", "warn"];

// Loads the runtime, with as many threads as our engine has.
export async function open(provider, threads) {
  const ort = await import(FOLDER + BUNDLES[provider]);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = FOLDER;
  return new Runtime(ort, provider);
}

class Runtime {
  constructor(ort, provider) {
    this.ort = ort;
    this.provider = provider;
  }

  get facts() {
    const { versions, wasm } = this.ort.env;
    return { version: versions.web ?? versions.common, threads: wasm.numThreads };
  }

  // Exactly one provider: with a list, its own fallback would choose for us.
  options(more) {
    const { provider } = this;
    const wanted = provider === "webnn" ? { name: provider, deviceType: "cpu" } : provider;
    return { executionProviders: [wanted], ...more };
  }

  create(model) {
    return this.ort.InferenceSession.create(model, this.options());
  }

  // Where it puts the nodes of a model: what no provider asked for takes, its CPU provider runs without a word
  // outside this log. In a session of its own, because logging costs time.
  async placed(model) {
    const kept = CONSOLE.map((name) => [name, console[name]]);
    const lines = [];
    for (const name of CONSOLE) console[name] = (...words) => lines.push(words.join(" "));
    const { logLevel } = this.ort.env;
    this.ort.env.logLevel = "verbose";
    try {
      const options = this.options({ logSeverityLevel: 0, logVerbosityLevel: 0 });
      await (await this.ort.InferenceSession.create(model, options)).release();
    } finally {
      this.ort.env.logLevel = logLevel;
      for (const [name, method] of kept) console[name] = method;
    }
    // "All nodes placed on [X]. Number of nodes: 3", or a line "Node(s) placed on [X]. …" for each provider.
    const said = lines.map((line) => /odes?(?:\(s\))? placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line));
    return said.filter(Boolean).map(([, provider, nodes]) => ({ provider, nodes: Number(nodes) }));
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
