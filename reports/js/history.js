import { el, section, table } from "./dom.js";
import { LOOKS, count, ms, when } from "./format.js";
import { chart, colours, legend } from "./charts.js";
import { filters, link, selected, state } from "./state.js";

const MOST_ROWS_CHANGED = 200;
const MOST_TRENDS = 12;

/** The colour of a look in charts; its name stands beside it. */
const FILLS = { hardware: "var(--good)", cpu: "var(--cpu)", software: "var(--software)", fallback: "var(--fallback)", unproven: "var(--mute)", bad: "var(--bad)", lack: "var(--lack)", absent: "var(--absent)", none: "var(--mute)", open: "var(--absent)" };

function runs(run) {
  const own = {};
  for (let at = 0; at < run.count; at += 1) own[run.look(at)] = (own[run.look(at)] ?? 0) + 1;
  return [...run.past, { id: run.id, matrix: run.matrix, started: run.started, webmatrix: run.webmatrix, counts: own }];
}

function counts(all) {
  const { Plot } = globalThis;
  const looks = Object.keys(LOOKS).filter((look) => all.some((one) => one.counts[look]));
  const rows = all.flatMap((one, at) => looks.map((look) => ({ at: `${at + 1}`, look, n: one.counts[look] ?? 0 })));
  return el("div", {}, chart("Cells of each run, by what became of them", {
    width: 760, height: 240, marginLeft: 50,
    x: { label: "run, oldest first", domain: all.map((_, at) => `${at + 1}`), padding: 0.25 }, y: { label: "cells", grid: true, nice: true, ticks: 5 },
    marks: [Plot.barY(rows, Plot.stackY({ x: "at", y: "n", z: "look", order: looks, fill: (d) => FILLS[d.look] })), Plot.ruleY([0])],
  }), legend(new Map(looks.map((look) => [LOOKS[look][3], FILLS[look]]))));
}

/** Cells that have not always come out the same. */
function unsteady(run, found) {
  const looks = (at) => [...run.past.map((past) => past.looks.names[past.looks.of[at]]), run.look(at)];
  const rows = found.map((at) => [at, looks(at)]).filter(([, list]) => new Set(list.filter(Boolean)).size > 1);
  if (!rows.length) return el("p", {}, "Every cell came out the same in all of these runs.");
  const sign = (look) => (look ? el("span", { class: `cell tiny ${LOOKS[look][0]}`, title: LOOKS[look][3] }, el("span", { "aria-hidden": "true" }, LOOKS[look][1]), el("span", { class: "hidden-text" }, LOOKS[look][3])) : el("span", { class: "hidden-text" }, "not run"));
  return [rows.length > MOST_ROWS_CHANGED ? el("p", { class: "note" }, `The first ${MOST_ROWS_CHANGED} of ${count(rows.length, "cell")}.`) : null,
    table(["cell", ...runs(run).map((_, at) => String(at + 1))], rows.slice(0, MOST_ROWS_CHANGED).map(([at, list]) => [el("a", { href: link({ view: "cell", cell: run.idOf(at) }) }, run.short(at)), ...list.map(sign)]), { label: "Cells that changed" })];
}

/** Medians over the runs, of cells that were timed in two of them. */
function trends(run, found) {
  const { Plot } = globalThis;
  const TIMED = ["hardware", "cpu"];
  const points = (at) => [...run.past.map((past, n) => [n + 1, past.looks.names[past.looks.of[at]], past.median[at]]), [run.past.length + 1, run.look(at), run.number("median", at)]]
    .filter(([, look, median]) => TIMED.includes(look) && median !== null && median !== undefined);
  const models = new Map();
  for (const at of found) {
    const own = points(at);
    if (own.length < 2) continue;
    const title = `${run.text("model", at)}@${run.text("size", at)} ${run.text("precision", at)}`;
    if (!models.has(title)) models.set(title, []);
    const name = ["browser", "backend", "profile", "runtime"].map((axis) => run.text(axis, at)).filter((text) => !["default", "webmatrix"].includes(text)).join(" ");
    models.get(title).push(...own.map(([x, , y]) => ({ x: String(x), y, name })));
  }
  const cards = [...models].slice(0, MOST_TRENDS).map(([title, rows]) => {
    const hues = colours([...new Set(rows.map((row) => row.name))]);
    return el("div", {}, chart(title, {
      height: 220, marginLeft: 60, x: { label: "run", domain: runs(run).map((_, at) => String(at + 1)), type: "point" }, y: { label: "median, ms", zero: true, grid: true, nice: true, ticks: 5 },
      marks: [Plot.line(rows, { x: "x", y: "y", z: "name", stroke: (d) => hues.get(d.name), strokeWidth: 2 }), Plot.dot(rows, { x: "x", y: "y", fill: (d) => hues.get(d.name), r: 4 })],
    }, { head: ["where", "run", "median"], rows: rows.map((row) => [row.name, row.x, ms(row.y)]) }), legend(hues));
  });
  if (!cards.length) return null;
  return [el("p", { class: "note" }, `Runs of different days: what changed on the machine is a part of every step.${models.size > MOST_TRENDS ? ` The first ${MOST_TRENDS} of ${models.size}: narrow the cells to see others.` : ""}`), el("div", { class: "cards" }, cards)];
}

export function historyView(run, report) {
  const found = selected(run, state());
  const all = runs(run);
  if (!run.past.length) return [el("h1", {}, "History"), el("p", { class: "nothing" }, "No earlier run in this database had any of these cells.")];
  const proven = (one) => ["hardware", "cpu", "software", "fallback"].reduce((sum, look) => sum + (one.counts[look] ?? 0), 0);
  return [
    el("h1", {}, "History"),
    filters(run, found),
    counts(all),
    table(["#", "run", "started", "matrix", "webmatrix", "proven", "failed"], all.map((one, at) => [String(at + 1), report.runs.some((known) => known.id === one.id) ? el("a", { href: link({ view: "overview", run: one.id }) }, one.id) : one.id, when(one.started), one.matrix, one.webmatrix, proven(one), one.counts.bad ?? 0]), { label: "Runs that had cells of this one" }),
    section("Cells that changed", unsteady(run, found)),
    section("Trends", trends(run, found)),
  ];
}
