"use strict";
// Everything shown comes from the database as text: it is only ever put in as text.
const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("detail");

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const ms = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toFixed(3)) + " ms";
const small = (value) => (value === 0 ? "0" : value.toExponential(2));

function facts(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(el("dt", {}, name), el("dd", {}, String(value)));
  }
  return list;
}

function table(head, rows) {
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value) => el("td", {}, String(value)))))));
}

function section(title, ...content) {
  const shown = content.filter(Boolean);
  return shown.length ? [el("h3", {}, title), ...shown] : [];
}

// A picture, and what puts shapes into it.
function picture(height, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 600 ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const shape = (tag, attributes) => {
    const node = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    svg.append(node);
  };
  return [svg, shape];
}

// Every sample as a dot on a line from 0 to the slowest, the median as a bar.
function dots(samples, median) {
  const [svg, shape] = picture(50, `${samples.length} samples, median ${ms(median)}`);
  const most = Math.max(...samples.map((sample) => sample.ms), median) * 1.05 || 1;
  shape("line", { x1: 0, x2: 600, y1: 30, y2: 30, stroke: "currentColor", "stroke-opacity": 0.3 });
  for (const sample of samples) {
    shape("circle", { cx: (sample.ms / most) * 590 + 5, cy: 30, r: 5, fill: "currentColor", "fill-opacity": sample.warmup ? 0.15 : 0.5 });
  }
  shape("rect", { x: (median / most) * 590 + 4, y: 14, width: 2, height: 32, fill: "currentColor" });
  return svg;
}

const PARTS = { weights: "weights", activations: "activations", states: "caches", io: "inputs, outputs, parameters" };
const KINDS = { ...PARTS, files: "files of the checkpoint", heap: "heap", heap_peak: "heap at most", linear: "linear memory" };

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const at = value > 0 ? Math.min(Math.floor(Math.log2(value) / 10), 3) : 0;
  return (at ? (value / 1024 ** at).toFixed(1) : value) + " " + units[at];
}

// The parts of the backend's memory on top of each other, over time.
function areas({ timeline, total }) {
  const [first, last] = [timeline[0].at_ms, timeline[timeline.length - 1].at_ms];
  if (!(last > first) || !total) return null;
  const [svg, shape] = picture(120, `memory over ${ms(last - first)}, ${bytes(total)} at most`);
  const x = (at) => ((at - first) / (last - first)) * 600;
  const y = (sum) => 118 - (sum / total) * 114;
  const below = timeline.map(() => 0);
  Object.keys(PARTS).forEach((kind, layer) => {
    const under = [...below];
    timeline.forEach((moment, at) => { below[at] += moment.bytes[kind] ?? 0; });
    // What was told of a moment holds until the next.
    const steps = (sums) => timeline.flatMap(({ at_ms }, at) => [`${x(at_ms)},${y(sums[at])}`, `${x(timeline[at + 1]?.at_ms ?? at_ms)},${y(sums[at])}`]);
    shape("polygon", { points: [...steps(below), ...steps(under).reverse()].join(" "), class: `layer-${layer}` });
  });
  return svg;
}

/** What memory was for. */
function memory(told) {
  const rows = Object.entries(KINDS).map(([kind, name]) => [kind, name, told.timeline.map((moment) => moment.bytes[kind]).filter((value) => value !== undefined)]);
  const shown = rows.filter(([, , values]) => values.length);
  const body = table(["", "what", "at the end", "at most"], shown.map(([, name, values]) => ["", name, bytes(values[values.length - 1]), bytes(Math.max(...values))]));
  body.querySelectorAll("tbody tr").forEach((row, at) => {
    const layer = Object.keys(PARTS).indexOf(shown[at][0]);
    if (layer >= 0) row.firstChild.append(el("span", { class: `swatch layer-${layer}` }));
  });
  const { cache, growth } = told;
  return [
    areas(told),
    body,
    facts([
      ["backend", bytes(told.total) + (told.partial ? ", without what the browser does not tell" : "")],
      ["caches", cache && `${bytes(Math.round(cache.bytes_per_token))} a token, ${cache.positions} positions`],
      ["heap grows", growth !== null ? `${growth} B an inference` : null],
    ]),
  ];
}

/** How weights were quantised, and the outputs beside those at full precision. */
function cost({ quantisation: how, reference, outputs }) {
  const quantised = Object.keys(how.schemes).length > 0;
  const part = (x, digits) => (x === null ? "" : x.toFixed(digits));
  return [
    facts([
      ["caches as", how.caches],
      ["bits a weight", quantised ? `${how.bits_per_weight.toFixed(3)} in matrices, scales included; ${how.model_bits_per_weight.toFixed(3)} over the whole model, ${(100 * (1 - how.model_bits_per_weight / 16)).toFixed(1)} % less than fp16` : null],
      ["matrices", Object.entries(how.schemes).map(([scheme, count]) => `${count} × ${scheme}`).join(", ")],
      ["codes chosen by", [how.fit, how.calibration && `GPTQ with ${how.calibration}`].filter(Boolean).join(", ")],
      ["compared with", `${reference}, at full precision`],
    ]),
    table(["output", "cosine", "relative error", "choices the same", "divergence (nats)"],
      outputs.map((o) => [o.name, part(o.cosine, 6), part(o.relative_error, 5), part(o.agreement, 4), part(o.divergence, 6)])),
  ];
}

function show(index) {
  const cell = data.cells[index];
  const attempt = cell.attempt ?? {};
  const session = data.sessions[attempt.session] ?? {};
  const browser = attempt.facts ?? {};
  const adapter = browser.adapter;
  const body = document.getElementById("detail-body");
  const challenge = browser.challenge ? "computed in this attempt, from a number drawn for it" : null;
  body.replaceChildren(
    el("h2", { id: "detail-title" }, cell.id),
    facts([
      ["status", cell.status + (cell.flaky ? " (flaky: only on a retry)" : "")],
      ["evidence", cell.evidence],
      ["implementation", cell.implementation],
      ["reason", cell.reason],
    ]),
    ...section("What the outputs say", cell.says.length ? el("pre", { tabindex: "0" }, cell.says.join("\n")) : null),
    ...section("Agreement with " + (cell.agreement?.reference ?? "nothing"),
      cell.agreement && table(["output", "elements", "max |y−e|", "max rel", "cosine", "verdict"],
        cell.agreement.outputs.map((o) => [o.name, o.elements, small(o.max_abs), small(o.max_rel), o.cosine.toFixed(6), o.ok ? "within tolerance" : o.fault ?? "outside tolerance"]))),
    ...section("What the precision costs", ...(cell.accuracy ? cost(cell.accuracy) : [])),
    ...section("Time of an inference",
      cell.samples.length && cell.median_ms !== null ? dots(cell.samples, cell.median_ms) : null,
      cell.evidence === "software" ? el("p", {}, "A software GPU: these times say nothing about WebGPU's speed.") : null,
      cell.median_ms !== null ? facts([["median", ms(cell.median_ms)], ["samples", cell.samples.filter((s) => !s.warmup).length + " (warm-ups are pale)"]]) : null,
      cell.metrics.length ? table(["metric", "value", "unit"], cell.metrics.map((m) => [m.name, +m.value.toPrecision(5), m.unit])) : null),
    ...section("Memory", ...(cell.memory ? memory(cell.memory) : [])),
    ...section("What ran",
      facts([
        ["harness build", attempt.variant],
        ["known answer", challenge],
        ["dispatches", browser.dispatches],
        ["device type asked for", browser.webnn_device_type],
        ["adapter", adapter && [adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.is_fallback ? "fallback adapter" : ""].filter(Boolean).join(" · ")],
        ["steps down", browser.steps_down?.map((step) => `${step.from}: ${step.reason}`).join("; ")],
        ["wall, page", cell.wall_ms !== null ? `${ms(cell.wall_ms)}, ${cell.page_ms !== null ? ms(cell.page_ms) : "not told"}` : null],
      ]),
      cell.ops.length ? table(["op", "executed by", "times"], cell.ops.map((o) => [o.op, o.backend, o.count])) : null),
    ...section("Browser", facts([["version", cell.browser_version], ["attempt", attempt.attempt], ["started", attempt.started_at]]),
      session.facts ? el("pre", { tabindex: "0" }, JSON.stringify(session.facts, null, 2)) : null),
    ...section("Log", cell.log.length ? el("pre", { tabindex: "0" }, cell.log.map((line) => `${line.source} ${line.level}: ${line.text}`).join("\n")) : null),
  );
  dialog.showModal();
  dialog.scrollTop = 0;
  history.replaceState(null, "", "#cell=" + encodeURIComponent(cell.id));
}

dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-cell]");
  if (button) show(+button.dataset.cell);
});

for (const form of document.querySelectorAll(".filters")) {
  const cells = [...form.parentElement.querySelectorAll("button[data-cell]")];
  const apply = () => {
    const text = form.text.value.trim().toLowerCase();
    let shown = 0;
    for (const cell of cells) {
      const fits = (!form.status.value || cell.dataset.status === form.status.value)
        && (!form.evidence.value || cell.dataset.evidence === form.evidence.value)
        && (!text || cell.dataset.text.includes(text));
      cell.classList.toggle("hidden", !fits);
      shown += fits;
    }
    form.shown.value = `${shown} of ${cells.length} cells`;
  };
  form.addEventListener("input", apply);
  // A choice made for the user (a driver, a form filler) may fire this one only.
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

const link = new URLSearchParams(location.hash.slice(1)).get("cell");
const linked = link ? data.cells.findIndex((cell) => cell.id === link) : -1;
if (linked >= 0) show(linked);
