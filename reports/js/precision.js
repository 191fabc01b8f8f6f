import { el, section, table } from "./dom.js";
import { bytes, fixed, ms } from "./format.js";
import { COLOURS, chart } from "./charts.js";
import { filters, link, selected, state } from "./state.js";

const MOST_FRONTIERS = 24;

/** Points whose names lie beside them, above one another where they would lie upon one another; those at the right edge end at theirs. */
function labelled(rows) {
  const [width, height, line] = [430, 170, 13];
  const most = (name) => Math.max(...rows.map((row) => row[name]), Number.MIN_VALUE);
  const [widest, highest] = [most("kib"), most("lost")];
  const taken = [];
  return [...rows].sort((a, b) => a.lost - b.lost).map((row) => {
    const [x, y] = [(row.kib / widest) * width, (row.lost / highest) * height];
    let lift = 9;
    while (taken.some((other) => Math.abs(other.x - x) < 60 && Math.abs(other.y - y - lift) < line)) lift += 1;
    taken.push({ x, y: y + lift });
    return { ...row, lift, last: x > 0.75 * width };
  });
}

function frontier(run, { title, points, recommended, why }) {
  const { Plot } = globalThis;
  const rows = points.map((point, at) => ({ ...point, kib: point.bytes / 1024, lost: point.cosine === null ? null : Math.max(1 - point.cosine, 0), best: at === recommended })).filter((row) => row.lost !== null);
  const on = rows.filter((row) => row.on_frontier);
  const chosen = rows.filter((row) => row.best);
  return el("div", {}, chart(title, {
    height: 260, marginLeft: 70, marginRight: 60,
    x: { label: "KiB of weights, scales included", grid: true, nice: true, zero: true, ticks: 5 },
    y: { label: "lost: 1 − cosine with full precision", insetTop: 18, grid: true, zero: true, nice: true, ticks: 5 },
    marks: [
      Plot.line(on, { x: "kib", y: "lost", stroke: COLOURS[0], strokeOpacity: 0.6, sort: "kib" }),
      Plot.dot(chosen, { x: "kib", y: "lost", r: 10, stroke: COLOURS[1], strokeWidth: 2.5 }),
      Plot.dot(rows, { x: "kib", y: "lost", r: 5, stroke: COLOURS[0], fill: (d) => (d.on_frontier ? COLOURS[0] : "none"), strokeWidth: 1.5 }),
      labelled(rows).map((row) => Plot.text([row], { x: "kib", y: "lost", text: (d) => (d.best ? `${d.precision} (recommended)` : d.precision), dx: row.last ? -9 : 9, dy: -row.lift, textAnchor: row.last ? "end" : "start", fill: "currentColor" })),
    ],
  }, { note: `Recommended: ${why}. Filled: on the frontier of size, loss and, where it was timed, latency.`, head: ["precision", "weights", "cosine", "choices the same", "median", "frontier"],
    rows: points.map((point, at) => [el("a", { href: link({ view: "cell", cell: run.idOf(point.cell) }) }, point.precision), bytes(Math.round(point.bytes)), fixed(point.cosine, 5), fixed(point.same, 4), ms(point.median_ms), at === recommended ? "recommended" : point.on_frontier ? "on it" : ""]) }));
}

export function precisionView(run) {
  const found = selected(run, state());
  const kept = new Set(found);
  const all = run.frontiers.filter((one) => one.points.some((point) => kept.has(point.cell)));
  const { costs } = run;
  return [
    el("h1", {}, "Precision frontier"),
    filters(run, found),
    el("p", { class: "note" }, "What a precision takes, and what it loses. Only proven cells are shown: they computed what their quantised weights say, which is not the same as losing nothing. A software GPU has no latency.",
      all.length > MOST_FRONTIERS ? ` The first ${MOST_FRONTIERS} of ${all.length}: narrow the cells to see others.` : ""),
    all.length ? el("div", { class: "cards" }, all.slice(0, MOST_FRONTIERS).map((one) => frontier(run, one))) : el("p", { class: "nothing" }, "No model was proven at two precisions in one place: ", el("code", {}, "webmatrix run --precisions fp32 fp16 int8 int4"), " does."),
    section("What the cells save and cost", costs && [el("p", { class: "note" }, costs.note), table(costs.header, costs.lines.map((line) => line.cells.map((text, at) => (at === 3 ? el("span", { class: `cell ${line.class}` }, text) : text))), { label: "What the cells save and cost" })]),
  ];
}
