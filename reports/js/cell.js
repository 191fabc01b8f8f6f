import { el, announce, copier, facts, preformatted, section, table } from "./dom.js";
import { DOUBTED, LOOKS, LOSSY, bytes, count, fixed, lossy, ms, rounded, small, when } from "./format.js";
import { AXES } from "./data.js";
import { boxes, chart, legend, COLOURS } from "./charts.js";
import { here, link } from "./state.js";

export const PARTS = { weights: "weights", activations: "activations", states: "caches", io: "inputs, outputs, parameters" };
const KINDS = { ...PARTS, files: "files of the checkpoint", heap: "heap", heap_peak: "heap at most", linear: "linear memory" };

/** Every sample as a dot, in the order of time, over the box that they make. */
function times(run, at, cell) {
  if (!cell.samples.length) return null;
  const { Plot } = globalThis;
  const timed = cell.samples.slice(cell.warmups);
  const [low, high] = cell.timing?.fences ?? [-Infinity, Infinity];
  const dots = cell.samples.map((value, index) => ({ ms: value, index: index + 1, warm: index < cell.warmups, out: index >= cell.warmups && (value < low || value > high) }));
  const out = dots.filter((dot) => dot.out);
  const strip = chart("Every inference, in order", {
    height: 190, marginLeft: 60,
    x: { label: "inference", ticks: Math.min(10, dots.length), tickFormat: (x) => (Number.isInteger(x) ? String(x) : "") },
    y: { label: "ms", zero: true, grid: true, nice: true, ticks: 5 },
    marks: [
      Plot.ruleY([0]),
      run.number("median", at) !== null && Plot.ruleY([run.number("median", at)], { stroke: COLOURS[0], strokeDasharray: "4 3" }),
      Plot.dot(dots.filter((dot) => !dot.out), { x: "index", y: "ms", r: 4, fill: (d) => (d.warm ? "none" : COLOURS[0]), stroke: COLOURS[0], fillOpacity: 0.75 }),
      Plot.dot(out, { x: "index", y: "ms", r: 5, symbol: "times", stroke: COLOURS[1], strokeWidth: 2 }),
    ],
  }, { note: `${cell.warmups ? `${cell.warmups} warm-up${cell.warmups === 1 ? "" : "s"} (hollow), ` : ""}${timed.length} timed; the line is the median.${out.length ? ` ${count(out.length, "outlier")} (×)${out.length === 1 ? " lies" : " lie"} beyond three quartile ranges of the quartiles.` : ""}`, head: ["inference", "ms", ""], rows: dots.map((dot) => [dot.index, rounded(dot.ms), dot.warm ? "warm-up" : dot.out ? "outlier" : ""]) });
  const spread = timed.length > 1 && ["least", "q1", "median", "q3", "most"].every((name) => run.number(name, at) !== null)
    ? boxes("How they are spread", [{ name: "timed", colour: COLOURS[0], ...Object.fromEntries(["least", "q1", "median", "q3", "most"].map((name) => [name, run.number(name, at)])) }], { unit: "ms" }) : null;
  return el("div", { class: "cards" }, strip, spread);
}

/** How times are spread in figures, none finer than the clock; and how they came about. */
function spreadOut(timing) {
  if (!timing) return null;
  const told = ["p50", "p75", "p90", "p95", "p99", "mad"];
  const rests = { true: ", until times rested", false: ", and times did not rest before the first that counts" };
  return [
    table(["of the timed inferences", ...told.slice(0, -1), "MAD"], [["ms", ...told.map((name) => rounded(timing[name]))]], { label: "Percentiles of the timed inferences", classes: "plain numbers" }),
    facts([
      ["timed", `${count(timing.samples, "inference")}, after the first and ${count(timing.warmups, "warm-up")}${rests[timing.rested] ?? ""}`],
      ["tail", timing.samples < 100 ? `of ${timing.samples} inferences p95 and p99 lie among the longest few, and tell little` : null],
      ["outliers", timing.outliers ? `${timing.outliers.toLocaleString("en")}: counted and marked, and a part of every figure` : "none"],
      ["clock's step", timing.timer_step_us === undefined ? null : `${rounded(timing.timer_step_us)} µs: no figure is finer`],
      ["CPU", timing.cpu_ms === undefined ? null : `its processes computed ${ms(timing.cpu_ms)} over the whole attempt`],
    ]),
  ];
}

/** The parts of the backend's memory on top of each other, over time. */
function areas({ timeline }) {
  const { Plot } = globalThis;
  const [first, last] = [timeline[0].at_ms, timeline[timeline.length - 1].at_ms];
  if (!(last > first)) return null;
  const told = Object.keys(PARTS).filter((kind) => timeline.some((moment) => moment.bytes[kind]));
  const rows = timeline.flatMap((moment) => told.map((kind) => ({ at: moment.at_ms - first, kind, bytes: (moment.bytes[kind] ?? 0) / 1024 })));
  const of = new Map(told.map((kind) => [PARTS[kind], COLOURS[Object.keys(PARTS).indexOf(kind)]]));
  return el("div", {}, chart("What the backend held, over time", {
    width: 760, height: 220, marginLeft: 70,
    x: { label: "ms since the page first told", nice: true },
    y: { label: "KiB", grid: true, nice: true, ticks: 5 },
    marks: [
      // What was told of a moment holds until the next.
      Plot.areaY(rows, Plot.stackY({ x: "at", y: "bytes", z: "kind", curve: "step-after", fill: (d) => of.get(PARTS[d.kind]) })),
      Plot.ruleY([0]),
    ],
  }), legend(of));
}

/** What memory was for. */
function memory(told) {
  const rows = Object.entries(KINDS).map(([kind, name]) => [name, told.timeline.map((moment) => moment.bytes[kind]).filter((value) => value !== undefined)]);
  const { cache, growth } = told;
  return [
    areas(told),
    table(["what", "at the end", "at most"], rows.filter(([, values]) => values.length).map(([name, values]) => [name, bytes(values[values.length - 1]), bytes(Math.max(...values))]), { label: "Memory by what it is for" }),
    facts([
      ["backend", bytes(told.total) + (told.partial ? ", without what the browser does not tell" : "")],
      ["caches", cache && `${bytes(Math.round(cache.bytes_per_token))} a token, ${cache.positions} positions${cache.ring ? `; behind a window ${bytes(cache.ring.bytes)} from ${cache.ring.positions} positions on` : ""}${cache.encoded ? `; ${bytes(cache.encoded)} of the encoder's` : ""}`],
      ["heap grows", growth !== null ? `${growth} B an inference` : null],
    ]),
  ];
}

/** Layers that are shown around the first that differs. */
const MOST_LAYERS = 120;

/** How far each part of the model is off, and which is the first. */
function trace(run, { at, by, says, layers }) {
  const first = layers.findIndex((layer) => layer.first);
  const from = Math.max(0, Math.min(first < 0 ? 0 : first - 20, layers.length - MOST_LAYERS));
  const shown = layers.slice(from, from + MOST_LAYERS);
  const name = (layer) => `${layer.scope || "the model"}${layer.step ? `, token step ${layer.step}` : ""}`;
  const { Plot } = globalThis;
  const dots = layers.map((layer, index) => ({ index: index + 1, off: layer.max_abs, ok: layer.agree === layer.ops })).filter((dot) => dot.off > 0);
  const line = first < 0 || !dots.length ? null : chart("Largest difference from the oracle, part by part", {
    height: 200, marginLeft: 70, width: 760,
    inset: 8,
    x: { label: "parts of the model, in order", ticks: Math.min(10, layers.length), tickFormat: (x) => (Number.isInteger(x) ? String(x) : "") },
    y: { label: "max |y−e|", type: "log", ticks: 4, tickSize: 0, tickFormat: "~e" },
    marks: [
      Plot.ruleX([first + 1], { strokeDasharray: "4 3" }),
      Plot.text([first + 1], { x: (x) => x, text: () => "first that differs", frameAnchor: "top", textAnchor: first > layers.length / 2 ? "end" : "start", dx: first > layers.length / 2 ? -6 : 6, fill: "currentColor" }),
      Plot.dot(dots, { x: "index", y: "off", r: 3.5, symbol: (d) => (d.ok ? "circle" : "times"), stroke: (d) => COLOURS[d.ok ? 0 : 1], strokeWidth: 2 }),
    ],
    symbol: { type: "identity" }, color: { type: "identity" },
  }, { note: "○ every op of the part agrees, × not all do." });
  return [
    el("p", {}, says),
    el("p", { class: "note" }, `Traced ${when(at)}${by ? ` in run ${by}` : ""}: one inference with every intermediate result kept, each held against the scalar oracle's.`),
    line,
    shown.length ? table(["part of the model", "ops", "that agree", "max |y−e|", "max relative", "least cosine", "first that does not"], shown.map((layer, index) => [
      name(layer), layer.ops, layer.agree, small(layer.max_abs), small(layer.max_rel), fixed(layer.cosine, 6),
      layer.first ? [from + index === first ? el("strong", {}, "◀ first of all: ") : "", `${layer.first}: ${layer.fault ?? ""}`] : "",
    ]), { label: "Parts of the model beside the oracle", classes: "plain dense parts" }) : null,
    shown.length < layers.length ? el("p", { class: "note" }, `${shown.length} of ${layers.length} parts are shown.`) : null,
  ];
}

/** How weights were quantised, and the outputs beside those at full precision. */
function cost({ quantisation: how, reference, outputs }) {
  const quantised = Object.keys(how.schemes).length > 0;
  return [
    facts([
      ["caches as", how.caches],
      ["bits a weight", quantised ? `${how.bits_per_weight.toFixed(3)} in matrices, scales included; ${how.model_bits_per_weight.toFixed(3)} over the whole model, ${(100 * (1 - how.model_bits_per_weight / 16)).toFixed(1)} % less than fp16` : null],
      ["matrices", Object.entries(how.schemes).map(([scheme, times]) => `${times} × ${scheme}`).join(", ")],
      ["codes chosen by", [how.fit, how.calibration && `GPTQ with ${how.calibration}`].filter(Boolean).join(", ")],
      ["compared with", `${reference}, at full precision`],
    ]),
    table(["output", "cosine", "relative error", "choices the same", "divergence (nats)"],
      outputs.map((o) => [o.name, fixed(o.cosine, 6), fixed(o.relative_error, 5), fixed(o.agreement, 4), fixed(o.divergence, 6)]), { label: "Outputs beside those at full precision" }),
  ];
}

function surprise({ perplexity, tokens, ratio, reference }) {
  const range = ({ value, lo, hi }) => `${fixed(value, 4)}${lo === null ? "" : ` (${fixed(lo, 4)}–${fixed(hi, 4)})`}`;
  return facts([
    ["perplexity", `${range(perplexity)}, over ${tokens.toLocaleString("en")} tokens`],
    ["beside full precision", ratio && `${range(ratio)} times that of ${reference}`],
  ]);
}

function agreement(told) {
  return table(["output", "elements", "max |y−e|", "max relative", "cosine", "verdict"],
    told.outputs.map((o) => [o.name, o.elements.toLocaleString("en"), small(o.max_abs), small(o.max_rel), fixed(o.cosine, 6), o.ok ? "✓ within tolerance" : `✗ ${o.fault ?? "outside tolerance"}`]), { label: "Outputs beside the independent answer" });
}

function ran(attempt) {
  const said = attempt.facts ?? {};
  const { adapter } = said;
  return facts([
    ["harness build", attempt.variant],
    ["known answer", said.challenge ? "computed in this attempt, from a number drawn for it" : null],
    ["dispatches", said.dispatches],
    ["threads", said.threads],
    ["pipelines made", said.pipelines && `${said.pipelines.ahead} before any inference, ${said.pipelines.within} within one, at most ${said.pipelines.together} at once`],
    ["device type asked for", said.webnn_device_type],
    ["adapter", adapter && [adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.is_fallback ? "fallback adapter" : ""].filter(Boolean).join(" · ")],
    ["steps down", said.steps_down?.map((step) => `${step.from}: ${step.reason}`).join("; ")],
    ["kernels", Object.entries(said.kernels ?? {}).map(([name, times]) => `${name} × ${times}`).join(", ")],
  ]);
}

function tries(cell) {
  if (cell.attempts.length < 2) return null;
  return table(["attempt", "started", "end", "status", "evidence", "why"], cell.attempts.map((one) => [
    `${one.number}${one.attempt === cell.attempt ? " (decided)" : ""}`, when(one.started_at), one.end ?? "never ended", one.status ?? "", one.evidence ?? "", one.reason ?? ""]), { label: "Every try at this cell" });
}

/** Everything that another person needs to see the same. */
function bundle(run, at, cell, attempt, session) {
  return {
    cell: run.idOf(at), status: run.text("status", at), evidence: run.text("evidence", at), reason: cell.reason,
    command: cell.command, run: run.id, run_command: run.command, webmatrix: run.webmatrix, harness: run.harness, variant: attempt.variant,
    inputs: cell.inputs, job: cell.job, outputs_sha256: cell.outputs_sha256,
    browser: run.browsers.find((browser) => browser.label === run.text("browser", at)), session: session.facts,
    environment: Object.fromEntries(run.environment.map((fact) => [fact.name, fact.value])),
    facts: attempt.facts, agreement: cell.agreement, samples_ms: cell.samples, log: cell.log,
  };
}

function repro(run, at, cell, attempt, session) {
  const save = el("button", { type: "button", class: "quiet", click: () => {
    const file = new Blob([JSON.stringify(bundle(run, at, cell, attempt, session), null, 2)], { type: "application/json" });
    const address = URL.createObjectURL(file);
    el("a", { href: address, download: `${run.short(at).replaceAll(/[^\w.@+-]+/g, "_")}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    announce("Saved");
  } }, "Save the bundle (JSON)");
  const flags = session.facts?.flags?.requested ?? [];
  return [
    cell.command && el("div", { class: "command" }, preformatted(cell.command, "Command that runs this cell again"), copier(cell.command)),
    facts([
      ["inputs", cell.inputs],
      ["whole run", run.command],
      ["versions", [`webmatrix ${run.webmatrix}`, `harness ${run.harness}`, attempt.variant && `build ${attempt.variant}`, session.browser && `${session.browser} ${session.version}`].filter(Boolean).join(", ")],
      ["page", cell.job?.title],
      ["outputs", cell.outputs_sha256 && `SHA-256 ${cell.outputs_sha256}`],
    ]),
    flags.length ? el("details", {}, el("summary", {}, `Flags of the browser (${flags.length})`), preformatted(flags.join("\n"), "Flags of the browser")) : null,
    el("p", {}, save, " ", el("span", { class: "note" }, "command, flags, job, facts, versions and log in one file")),
  ];
}

/** What became of the cell in earlier runs. */
function before(run, at) {
  const rows = run.past.map((past) => [past, past.looks.names[past.looks.of[at]], past.median[at]]).filter(([, look]) => look);
  if (!rows.length) return null;
  return table(["run", "started", "", "median"], rows.map(([past, look, median]) => [past.id, when(past.started), verdict(look, look), ["hardware", "cpu"].includes(look) ? ms(median) : ""]), { label: "Earlier runs of this cell" });
}

export function verdict(look, word) {
  const [classes, sign] = LOOKS[look];
  return el("span", { class: `cell ${classes}` }, `${sign} ${word}`);
}

export async function cellPage(run, id, found) {
  const at = run.find(id);
  if (at === undefined) {
    return [el("h1", {}, "No such cell"), el("p", {}, `This report has no cell ${id}. `, el("a", { href: link({ view: "matrix" }) }, "All cells"))];
  }
  const cell = await run.behind(at);
  const attempt = cell.attempts.find((one) => one.attempt === cell.attempt) ?? {};
  const session = run.report.sessions[attempt.session] ?? {};
  const look = run.look(at);
  const place = found.indexOf(at);
  const step = (to, text) => (to === undefined ? null : el("a", { href: here({ cell: run.idOf(to) }) }, text));
  return [
    el("nav", { class: "crumbs", "aria-label": "Neighbouring cells" }, el("a", { href: link({ view: "matrix" }) }, "Matrix"),
      place > 0 && step(found[place - 1], "← previous"), place >= 0 && step(found[place + 1], "next →")),
    el("h1", { class: "id" }, run.text("model", at), " on ", run.text("browser", at), " ", run.text("backend", at), el("small", {}, ` ${run.idOf(at)}`)),
    el("p", { class: "verdict" }, verdict(look, run.text("status", at)), ` ${LOOKS[look][3]}`, run.flaky.has(at) ? "; flaky: passed only on a retry" : "", run.lossy.has(at) ? `; lossy (${LOSSY}): ${lossy(run)}` : ""),
    cell.doubt ? el("p", { class: "verdict" }, el("span", { class: "cell doubted" }, DOUBTED[0]), ` ${cell.doubt}. That takes nothing from the verdict: a device's driver may well be busy.`) : null,
    facts([
      ...AXES.map((axis) => [axis, run.text(axis, at)]).filter(([axis, value]) => !(axis === "profile" && value === "default")),
      ["evidence", run.text("evidence", at)],
      ["implementation", run.text("implementation", at)],
      ["wall, page", run.number("wall", at) !== null ? `${ms(run.number("wall", at))}, ${run.number("page", at) !== null ? ms(run.number("page", at)) : "not told"}` : null],
    ], "two"),
    facts([["why", cell.reason]]),
    section(`Agreement with ${cell.agreement?.reference ?? "nothing"}`, cell.agreement && agreement(cell.agreement)),
    section("Where it leaves the oracle", cell.trace && trace(run, cell.trace)),
    section("What the outputs say", cell.says.length ? preformatted(cell.says.join("\n"), "What the outputs say") : null),
    section("What the precision costs", cell.accuracy ? cost(cell.accuracy) : null),
    section("How the text surprises it", cell.perplexity ? surprise(cell.perplexity) : null),
    section("Time of an inference", look === "software" && cell.samples.length ? el("p", { class: "note" }, "A software GPU: these times say nothing about WebGPU's speed.") : null, times(run, at, cell), spreadOut(cell.timing),
      cell.metrics.length ? table(["metric", "value", "unit"], cell.metrics.map(([name, value, unit]) => [name, rounded(value), unit]), { label: "Metrics", classes: "plain numbers dense" }) : null),
    section("Memory", cell.memory ? memory(cell.memory) : null),
    section("What ran", ran(attempt), cell.ops.length ? table(["op", "executed by", "times an inference"], cell.ops, { label: "Ops by what executed them", classes: "plain numbers dense" }) : null),
    section("Every try", tries(cell)),
    section("Run it again", repro(run, at, cell, attempt, session)),
    section("Earlier runs", before(run, at)),
    section("Browser session", session.facts ? el("details", {}, el("summary", {}, `${session.browser} ${session.version}, ready in ${ms(session.start_ms)}`), preformatted(JSON.stringify(session.facts, null, 2), "Facts of the browser session")) : null),
    section("Log", cell.log.length ? preformatted(cell.log.map(([source, level, text]) => `${source} ${level}: ${text}`).join("\n"), "Log") : null),
  ];
}
