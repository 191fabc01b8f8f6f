import { el, scroller } from "./dom.js";
import { rounded } from "./format.js";
import { here, state } from "./state.js";

/** A table of names by browsers; what is the same in all of them can be left out. */
function compared(title, browsers, rows, differing) {
  const shown = rows.filter(({ values }) => !differing || new Set(values.map(String)).size > 1);
  if (!rows.length) return null;
  const mark = (value) => {
    if (value === true) return el("span", { class: "cell lack" }, "✓ yes");
    if (value === false) return el("span", { class: "cell absent" }, "– no");
    if (value === null || value === undefined) return el("span", { class: "cell absent" }, "· not told");
    return String(value);
  };
  const grid = el("table", { class: "matrix plain" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Name"), browsers.map((browser) => el("th", { scope: "col" }, browser)))),
    el("tbody", {}, shown.map(({ name, values }) => el("tr", {}, el("th", { scope: "row" }, name), values.map((value) => el("td", {}, mark(value)))))));
  return el("section", { class: "part" }, el("h2", {}, title, el("small", {}, ` ${shown.length} of ${rows.length}`)), shown.length ? scroller(title, grid) : el("p", { class: "note" }, "The same in all of them."));
}

const union = (lists) => [...new Set(lists.flat())].sort();

export function capabilities(run) {
  const now = state();
  const differing = now.differing === "1";
  const of = (area) => run.capabilities.filter((row) => row.area === area);
  const browsers = union(run.capabilities.map((row) => row.browser)).filter((browser) => !now.browser || browser === now.browser);
  if (!browsers.length) return [el("h1", {}, "Capabilities"), el("p", { class: "nothing" }, "No browser was probed in this run: ", el("code", {}, "webmatrix probe"), " does.")];
  const text = (now.text ?? "").toLowerCase();
  const like = (rows) => rows.filter((row) => row.name.toLowerCase().includes(text));
  const facts = (area, browser, name) => of(area).find((row) => row.browser === browser && (name ? row.name === name : row.usable))?.facts ?? null;
  const gpu = new Map(browsers.map((browser) => [browser, facts("webgpu", browser)]));
  const nets = of("webnn").filter((row) => row.facts).map((row) => [row.browser, row.name]).filter(([browser]) => browsers.includes(browser));
  const list = (names, value) => names.map((name) => ({ name, values: browsers.map((browser) => value(browser, name)) }));
  const had = (key) => list(union([...gpu.values()].map((of_one) => of_one?.[key] ?? [])), (browser, name) => (gpu.get(browser) ? gpu.get(browser)[key].includes(name) : null));
  const limits = list(union([...gpu.values()].map((of_one) => Object.keys(of_one?.limits ?? {}))), (browser, name) => gpu.get(browser)?.limits[name]?.toLocaleString("en") ?? null);
  const simple = (area) => list(union(of(area).map((row) => row.name)), (browser, name) => {
    const row = of(area).find((known) => known.browser === browser && known.name === name);
    if (!row) return null;
    if (area === "wasm") return row.usable;
    return typeof row.facts === "number" ? rounded(row.facts) : row.facts;
  });
  const ways = ["webgpu", "webnn"].flatMap((area) => union(of(area).map((row) => row.name)).map((name) => ({ name: `${area} ${name}`, values: browsers.map((browser) => {
    const row = of(area).find((known) => known.browser === browser && known.name === name);
    if (!row) return null;
    return row.usable ? "✓ computes" : `– ${row.error ?? (row.present ? "present, but does not work" : "the interface is absent")}`;
  }) })));
  const adapters = browsers.map((browser) => gpu.get(browser)?.adapter).some(Boolean) ? [{ name: "adapter", values: browsers.map((browser) => {
    const adapter = gpu.get(browser)?.adapter;
    return adapter ? [adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.is_fallback ? "fallback adapter" : ""].filter(Boolean).join(" · ") : null;
  }) }] : [];
  const ops = union(nets.map(([browser, name]) => Object.keys(facts("webnn", browser, name)?.ops ?? {})));
  const types = (browser, name, op) => {
    const operands = facts("webnn", browser, name)?.ops?.[op];
    if (!operands) return false;
    return union(Object.values(operands)).join(" ") || true;
  };
  const toggle = el("label", {}, el("input", { type: "checkbox", name: "differing", checked: differing, change: (event) => { location.hash = here({ differing: event.target.checked ? "1" : null }); } }), " only what differs between browsers");
  const find = el("input", { type: "search", name: "text", value: now.text ?? "", placeholder: "feature, limit, op", input: () => { history.replaceState(null, "", here({ text: find.value.trim() })); dispatchEvent(new Event("hashchange")); } });
  return [
    el("h1", {}, "Capabilities"),
    el("p", { class: "note" }, "Interfaces and WebAssembly features were tried by a page. Features, limits and data types are what the browser says of itself: no cell is green for that."),
    el("form", { class: "filters", "aria-label": "Narrow the capabilities", submit: (event) => event.preventDefault() }, el("label", {}, "Find ", find), toggle),
    compared("Interfaces", browsers, like([...ways, ...adapters]), differing),
    compared("WebGPU features", browsers, like(had("features")), differing),
    compared("WGSL language features", browsers, like(had("wgsl_language_features")), differing),
    compared("WebGPU limits", browsers, like(limits), differing),
    nets.length ? compared("WebNN ops, and the data types that each takes", nets.map((pair) => pair.join(" ")), like(ops.map((op) => ({ name: op, values: nets.map(([browser, name]) => types(browser, name, op)) }))), differing) : null,
    compared("WebAssembly features", browsers, like(simple("wasm")), differing),
    compared("Surroundings of the page", browsers, like([...simple("environment"), ...simple("timers")]), differing),
  ];
}
