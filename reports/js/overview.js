import { el, facts, preformatted, scroller, section, table } from "./dom.js";
import { DOUBTED, LOOKS, LOSSY, count, lossy, when } from "./format.js";
import { link } from "./state.js";

const SIGNS = { worse: ["▼", "worse"], better: ["▲", "better"], other: ["•", "different"] };

const NAMED = 4;

/** Links to cells, the rest behind one more. */
export function cells(run, list, rest) {
  if (!list.length) return null;
  const links = list.slice(0, NAMED).map((at) => el("li", {}, el("a", { href: link({ view: "cell", cell: run.idOf(at) }) }, run.short(at))));
  if (list.length > NAMED) links.push(el("li", {}, el("a", { href: rest }, `all ${list.length.toLocaleString("en")} cells`)));
  return el("ul", { class: "cells" }, links);
}

export function legends(run) {
  return el("ul", { class: "legend", "aria-label": "What cells look like" }, Object.entries(LOOKS).filter(([look]) => !["unproven", "open"].includes(look)).map(([look, [classes, sign, word, means]]) => {
    const shown = { hardware: "ms", cpu: "ms", bad: "wrong", none: "n/a" }[look] ?? word;
    return el("li", {}, el("span", { class: `cell ${classes}` }, `${sign} ${shown}`), means);
  }), el("li", {}, el("span", { class: "cell pass cpu flaky" }, "✓ ms ~"), "flaky: passed only on a retry"),
    el("li", {}, el("span", { class: "cell pass cpu lossy" }, `${LOSSY} cos`), lossy(run)),
    el("li", {}, el("span", { class: "cell pass hardware doubted" }, DOUBTED[0]), DOUBTED[1]));
}

function tiles(run) {
  const all = run.tiles.map((tile) => ({ ...tile, href: link({ view: "matrix", look: tile.look }) }))
    .concat(run.doubted.size ? [{ count: run.doubted.size, label: "of them doubted: the CPU was as busy as for wasm", class: "doubted", href: link({ view: "matrix", among: "doubted" }) }] : [])
    .concat(run.lossy.size ? [{ count: run.lossy.size, label: "of them lossy: right, at a precision that keeps too little", class: "lossy", href: link({ view: "matrix", among: "lossy" }) }] : [])
    .concat((run.ops?.tiles ?? []).map((tile) => ({ ...tile, href: link({ view: "ops" }) })));
  return el("ul", { class: "tiles" }, all.map((tile) => el("li", {}, el("a", { class: `tile ${tile.class}`, href: tile.href },
    el("b", {}, tile.count.toLocaleString("en")), " ", tile.label))));
}

function differences(run) {
  const { changes } = run;
  if (!changes) return el("p", { class: "note" }, "No earlier run in this database had any of these cells.");
  const since = el("p", { class: "note" }, `Held against run ${changes.since} of ${when(changes.started_at)}: ${count(changes.same, "cell")} came out as then.`);
  if (!changes.lines.length) return [since, el("p", {}, "Nothing changed.")];
  return [since, el("ul", { class: "changes" }, changes.lines.map((line, at) => {
    const [sign, word] = SIGNS[line.kind];
    return el("li", { class: line.kind }, el("span", { class: "sign", title: word, "aria-hidden": "true" }, sign), el("div", {},
      el("span", { class: "hidden-text" }, `${word}: `), line.says, cells(run, line.cells, link({ view: "matrix", among: `change-${at}` }))));
  }))];
}

function failed(run) {
  if (!run.failures.length) return null;
  return table(["Status", "Why", "Cells"], run.failures.map((failure, at) => [
    el("span", { class: `cell ${failure.bad ? "bad" : failure.status === "unsupported" ? "lack" : "absent"}` }, failure.status),
    failure.reason,
    cells(run, failure.cells, link({ view: "matrix", among: `failure-${at}` })),
  ]), { label: "Cells that did not pass", classes: "plain reasons" });
}

/** How much is proven, by browser and backend. */
function places(run) {
  const PROVEN = ["hardware", "cpu", "software", "fallback"];
  const backends = run.names("backend");
  const sums = new Map();
  for (let at = 0; at < run.count; at += 1) {
    if (run.text("status", at) === "not_applicable") continue;
    const key = `${run.text("browser", at)} ${run.text("backend", at)}`;
    const sum = sums.get(key) ?? sums.set(key, { all: 0, proven: 0, bad: 0, looks: {} }).get(key);
    const look = run.look(at);
    sum.all += 1;
    sum.proven += PROVEN.includes(look);
    sum.bad += look === "bad";
    sum.looks[look] = (sum.looks[look] ?? 0) + 1;
  }
  if (!sums.size) return null;
  const place = (browser, backend) => {
    const sum = sums.get(`${browser} ${backend}`);
    if (!sum) return "";
    const most = Object.keys(sum.looks).sort((a, b) => sum.looks[b] - sum.looks[a])[0];
    // One failure is what is to be seen, however many cells are fine.
    const [classes, sign, word] = LOOKS[sum.bad ? "bad" : most];
    const told = sum.bad ? `${sum.bad} of ${sum.all} failed` : sum.proven ? `${sum.proven} of ${sum.all} proven` : word || most;
    return el("a", { class: `cell ${classes}`, href: link({ view: "matrix", browser, backend }), "aria-label": `${sign} ${told}, ${browser} ${backend}` }, `${sign} ${told}`);
  };
  const here = (browser) => backends.some((backend) => Object.keys(sums.get(`${browser} ${backend}`)?.looks ?? {}).some((look) => look !== "absent"));
  const browsers = [...run.names("browser")].sort((a, b) => here(b) - here(a));
  return table(["", ...backends], browsers.map((browser) => [browser, ...backends.map((backend) => place(browser, backend))]), { label: "Proven cells by browser and backend", classes: "matrix" });
}

/** What was tried: what worked by name, what did not in the browser's words. */
function tried(run, browser, area) {
  const rows = run.capabilities.filter((row) => row.browser === browser && row.area === area);
  if (!rows.length) return "not probed";
  const usable = rows.filter((row) => row.usable).map((row) => row.name);
  const words = usable.length ? [`computes (${usable.join(", ")})`] : [];
  for (const row of rows.filter((tried) => !tried.usable)) {
    const why = row.error ?? (row.present ? "present, but does not work" : "the interface is absent");
    if (!words.some((known) => known.endsWith(why))) words.push(`${row.name}: ${why}`);
  }
  return words.join("; ");
}

function browsers(run) {
  const rows = run.browsers.map((browser) => {
    const name = [browser.label, el("small", {}, ` ${browser.version}`)];
    if (browser.problem) return [name, browser.problem, "", ""];
    const wasm = run.capabilities.filter((row) => row.browser === browser.label && row.area === "wasm");
    const had = wasm.filter((row) => row.usable).length;
    return [name, tried(run, browser.label, "webgpu"), tried(run, browser.label, "webnn"), wasm.length ? `${had} of ${count(wasm.length, "feature")}` : "not probed"];
  });
  return rows.length ? table(["Browser", "WebGPU", "WebNN", "WebAssembly"], rows, { label: "Browsers, as their probes found them" }) : null;
}

export function overview(run) {
  const ended = run.ended ? `ended ${when(run.ended)}${run.interrupted ? ", interrupted" : ""}, exit code ${run.exit_code}` : "not ended";
  return [
    el("h1", { class: "lead" }, run.headline),
    el("p", { class: "note" }, `${run.matrix} matrix, started ${when(run.started)}, ${ended}.`),
    tiles(run),
    section("Where it runs", places(run)),
    section("What changed", differences(run)),
    section("What did not pass, and why", failed(run)),
    section("Browsers, as their probes found them", browsers(run), el("p", {}, el("a", { href: link({ view: "capabilities" }) }, "Everything that they can"))),
    section("Machine and command line", facts([
      ["run", run.id],
      ["command line", preformatted(run.command, "Command line of the run")],
      ["webmatrix", `${run.webmatrix}, harness ${run.harness}`],
      ...run.environment.map((fact) => [fact.name, fact.value]),
    ])),
    section("How to read a cell", legends(run)),
  ];
}

export function empty() {
  return [
    el("h1", { class: "lead" }, document.getElementById("headline")?.textContent ?? "No run yet."),
    el("p", {}, "Begin one with ", el("code", {}, "webmatrix run --browsers all --models all"), "; this page shows it as it goes on."),
    scroller("What cells will look like", legends()),
  ];
}
