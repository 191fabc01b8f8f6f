import { el, table } from "./dom.js";
import { bytes } from "./format.js";
import { chart, legend, room, COLOURS } from "./charts.js";
import { PARTS } from "./cell.js";
import { filters, link, selected, state } from "./state.js";

const MOST_BARS = 40;
const MOST_ROWS = 400;

export function memoryView(run) {
  const { Plot } = globalThis;
  const found = selected(run, state());
  const parts = Object.keys(PARTS).filter((kind) => run.bytes[kind]);
  const total = (at) => parts.reduce((sum, kind) => sum + (run.number(kind, at) ?? 0), 0);
  const told = found.filter((at) => parts.some((kind) => run.number(kind, at) !== null)).sort((a, b) => total(b) - total(a));
  const of = new Map(parts.map((kind) => [PARTS[kind], COLOURS[Object.keys(PARTS).indexOf(kind)]]));
  const rows = told.slice(0, MOST_BARS).flatMap((at) => parts.map((kind) => ({ name: run.short(at), kib: (run.number(kind, at) ?? 0) / 1024, colour: of.get(PARTS[kind]) })));
  const names = [...new Set(rows.map((row) => row.name))];
  return [
    el("h1", {}, "Memory"),
    filters(run, found),
    el("p", { class: "note" }, "What backends held, by part, at most; of WebNN, without what only the browser knows. Heap and linear memory are the module's. A cell's own page has its timeline.",
      told.length > MOST_BARS ? ` The largest ${MOST_BARS} of ${told.length.toLocaleString("en")} are charted.` : ""),
    told.length ? [
      legend(of),
      chart("What backends held", {
        width: 980, height: 74 + 22 * names.length, marginLeft: Math.min(330, room(names) + 60),
        x: { label: "KiB", grid: true, nice: true, ticks: 6 }, y: { label: null, domain: names, padding: 0.25 },
        marks: [Plot.barX(rows, { y: "name", x: "kib", fill: "colour" }), Plot.ruleX([0])],
        color: { type: "identity" },
      }),
      table(["cell", ...parts.map((kind) => PARTS[kind]), "together", "files", "heap at most", "linear memory"], told.slice(0, MOST_ROWS).map((at) => [
        el("a", { href: link({ view: "cell", cell: run.idOf(at) }) }, run.short(at)), ...parts.map((kind) => (run.number(kind, at) === null ? "not told" : bytes(run.number(kind, at)))), bytes(total(at)),
        bytes(run.number("files", at)), bytes(run.number("heap_peak", at)), bytes(run.number("linear", at))]), { label: "Memory by cell", classes: "plain numbers" }),
    ] : el("p", { class: "nothing" }, "No cell told of its memory."),
  ];
}
