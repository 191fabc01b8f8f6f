import { el, chooser, section } from "./dom.js";
import { DOUBTED, count, fixed, ms } from "./format.js";
import { boxes, chart, colours, legend, room } from "./charts.js";
import { filters, go, selected, state } from "./state.js";

/** Charts of one view; more would be scrolled past, and narrowing shows the others. */
const MOST = 24;
const MOST_IN_ONE = 36;
/** As `analyse/ratios.rs` has it. */
const MOST_DRAWN = 4000;

/** What a cell can be charted by, and its unit. */
const MEASURES = {
  median: ["time of an inference", "ms"],
  "phase.start": ["start, to the first result", "ms"],
  "phase.first": ["first inference", "ms"],
  "phase.compile": ["compiling", "ms"],
  "phase.load": ["loading", "ms"],
  "phase.module": ["starting the module", "ms"],
  time_to_first_token: ["time to first token", "ms"],
  tokens_per_second: ["tokens per second", "1/s"],
  items_per_second: ["items per second", "1/s"],
};

const model = (run, at) => `${run.text("model", at)}@${run.text("size", at)}`;

/** Where and how, without what all cells share. */
function place(run, at, axes = run.varying()) {
  const kept = ["browser", "backend", "precision", "profile", "runtime"].filter((axis) => axes.includes(axis) || axis === "backend");
  const name = kept.map((axis) => run.text(axis, at)).filter((text) => text !== "default").join(" ");
  // A time that may be another place's is told with its doubt.
  return run.doubted.has(at) ? `${name} ${DOUBTED[0]}` : name;
}

function grouped(list, key) {
  const groups = new Map();
  for (const one of list) {
    const name = key(one);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(one);
  }
  return groups;
}

function box(run, title, list, of) {
  const rows = list.map((at) => ({ name: place(run, at), colour: of.get(run.text("backend", at)), at, ...Object.fromEntries(["least", "q1", "median", "q3", "most"].map((name) => [name, run.number(name, at)])) })).filter((row) => row.least !== null);
  if (!rows.length) return null;
  return boxes(title, rows, { unit: "ms", head: ["where", "least", "lower quarter", "median", "upper quarter", "most", "samples"],
    rows: rows.map((row) => [row.name, ms(row.least), ms(row.q1), ms(row.median), ms(row.q3), ms(row.most), run.number("timed", row.at)]) });
}

function bars(run, title, list, of, measure) {
  const { Plot } = globalThis;
  const rows = list.map((at) => ({ name: place(run, at), value: run.number(measure, at), colour: of.get(run.text("backend", at)) })).filter((row) => row.value !== null);
  if (!rows.length) return null;
  return chart(title, {
    height: 74 + 24 * rows.length, marginLeft: room(rows.map((row) => row.name)),
    x: { label: MEASURES[measure][1], grid: true, nice: true, ticks: 5 },
    y: { label: null, domain: rows.map((row) => row.name), padding: 0.3 },
    marks: [Plot.barX(rows, { y: "name", x: "value", fill: "colour" }), Plot.ruleX([0])],
    color: { type: "identity" },
  }, { head: ["where", MEASURES[measure][1]], rows: rows.map((row) => [row.name, +row.value.toPrecision(4)]) });
}

/** How many times as long cells take as others, with intervals. */
function ratios(run, kept, kind, of) {
  const { Plot } = globalThis;
  const list = run.ratios.filter((beside) => beside.kind === kind && kept.has(beside.cell));
  const cards = [...grouped(list, (beside) => `${model(run, beside.cell)}${kind === "precisions" ? ` on ${run.text("browser", beside.cell)} ${run.text("backend", beside.cell)}` : `, ${run.text("precision", beside.cell)}`}`)].slice(0, MOST).map(([title, rows]) => {
    const against = rows[0].against;
    const shown = rows.map((beside) => ({ name: kind === "precisions" ? run.text("precision", beside.cell) : `${run.text("browser", beside.cell)} ${run.text("backend", beside.cell)}`, x: beside.ratio.value, lo: beside.ratio.lo, hi: beside.ratio.hi, colour: of.get(run.text("backend", beside.cell)), says: beside.says, n: beside.ratio.count, turn: beside.in_turn }));
    const ends = shown.flatMap((row) => [row.lo ?? row.x, row.hi ?? row.x, 1]);
    const wide = Math.max(...ends) / Math.min(...ends) > 8;
    return chart(`${title}: times as long as ${kind === "precisions" ? run.text("precision", against) : `${run.text("browser", against)} ${run.text("backend", against)}`}`, {
      height: 74 + 24 * shown.length, marginLeft: room(shown.map((row) => row.name)),
      x: { label: "ratio of medians, 95 % interval", type: wide ? "log" : "linear", grid: true, nice: true, ticks: 5, tickFormat: (x) => +x.toPrecision(3), domain: wide ? undefined : [Math.min(0.5, ...ends), Math.max(1.5, ...ends)] },
      y: { label: null, domain: shown.map((row) => row.name), padding: 0.3 },
      marks: [
        Plot.ruleX([1], { strokeDasharray: "4 3" }),
        Plot.ruleY(shown.filter((row) => row.lo !== null), { y: "name", x1: "lo", x2: "hi", stroke: "colour", strokeWidth: 3 }),
        Plot.dot(shown, { y: "name", x: "x", fill: "colour", r: 5 }),
      ],
      color: { type: "identity" },
    }, { head: ["", "times as long", "from", "to", "of", "in turn", "says"], rows: shown.map((row) => [row.name, fixed(row.x, 3), fixed(row.lo, 3), fixed(row.hi, 3), row.n, row.turn ? "yes" : "no", row.says]) });
  });
  return cards.length ? el("div", { class: "cards" }, cards) : null;
}

const TAILS = { b: "items of an inference", t: "tokens", a: "seconds of audio", s: "seconds of audio" };

/** The tail of a size, such as +b4+t64, as numbers by letter. */
const tail = (size) => Object.fromEntries([...size.matchAll(/\+([a-z])(\d+(?:\.\d+)?)/g)].map(([, letter, value]) => [letter, +value]));

/** How time grows with what is given. */
function scaling(run, found, of) {
  const { Plot } = globalThis;
  const cards = Object.entries(TAILS).flatMap(([letter, what]) => {
    const points = found.filter((at) => tail(run.text("size", at))[letter] !== undefined).map((at) => ({ at, x: tail(run.text("size", at))[letter], y: run.number("median", at), q1: run.number("q1", at), q3: run.number("q3", at), name: place(run, at), colour: of.get(run.text("backend", at)) }));
    const series = grouped(points, (point) => `${run.text("model", point.at)}@${run.text("size", point.at).replace(new RegExp(`\\+${letter}[\\d.]+`), "")}`);
    return [...series].filter(([, list]) => new Set(list.map((point) => point.x)).size > 1).slice(0, MOST).map(([title, list]) => {
      const names = [...new Set(list.map((point) => point.name))];
      const hues = colours(names);
      const sorted = list.map((point) => ({ ...point, colour: hues.get(point.name) })).sort((a, b) => a.x - b.x);
      return el("div", {}, chart(`${title}: time by ${what}`, {
        height: 260, marginLeft: 60,
        x: { label: what, grid: true, nice: true, ticks: 6 }, y: { label: "ms", zero: true, grid: true, nice: true, ticks: 5 },
        marks: [
          Plot.areaY(sorted, { x: "x", y1: "q1", y2: "q3", z: "name", fill: "colour", fillOpacity: 0.2 }),
          Plot.line(sorted, { x: "x", y: "y", z: "name", stroke: "colour", strokeWidth: 2 }),
          Plot.dot(sorted, { x: "x", y: "y", fill: "colour", r: 4 }),
        ],
        color: { type: "identity" },
      }, { head: ["where", what, "median"], rows: sorted.map((point) => [point.name, point.x, ms(point.y)]) }), legend(hues));
    });
  });
  return cards.length ? el("div", { class: "cards" }, cards) : null;
}

export function performanceView(run) {
  const now = state();
  const found = selected(run, now);
  const measure = MEASURES[now.measure] ? now.measure : "median";
  const timed = found.filter((at) => run.timed(at));
  const software = found.filter((at) => run.look(at) === "software").length;
  const of = colours([...run.names("backend")]);
  const groups = [...grouped(timed, (at) => model(run, at))];
  const cards = groups.slice(0, MOST).map(([title, list]) => {
    const shown = list.slice(0, MOST_IN_ONE);
    const name = shown.length < list.length ? `${title} (the first ${shown.length} of ${list.length})` : title;
    return measure === "median" ? box(run, name, shown, of) : bars(run, name, shown, of, measure);
  }).filter(Boolean);
  const known = Object.keys(MEASURES).filter((name) => name === "median" || run.metric[name]);
  const choice = chooser("Measure", "measure", known.map((name) => [name, MEASURES[name][0]]), measure, (value) => go({ measure: value }));
  const kept = new Set(timed);
  const samples = run.cells.timed.reduce((sum, n) => sum + (n ?? 0), 0);
  return [
    el("h1", {}, "Performance"),
    filters(run, found, [choice]),
    el("p", { class: "note" }, [
      `${count(timed.length, "cell")} timed on what ${timed.length === 1 ? "it claims" : "they claim"}.`,
      software ? ` ${count(software, "cell")} on a software GPU left out: its times say nothing about speed.` : "",
      groups.length > MOST ? ` The first ${MOST} of ${groups.length} models are charted: narrow the cells to see others.` : "",
    ]),
    cards.length ? [legend(new Map([...of].filter(([name]) => timed.some((at) => run.text("backend", at) === name)))), el("div", { class: "cards" }, cards)] : el("p", { class: "nothing" }, "Nothing here was timed."),
    section("Beside the first place", ratios(run, kept, "platforms", of)),
    section("Beside a higher precision", ratios(run, kept, "precisions", of)),
    !run.ratios.length && samples > MOST_DRAWN ? el("p", { class: "note" }, `Ratios with intervals are told of runs of up to ${MOST_DRAWN.toLocaleString("en")} timed inferences, and this one has ${samples.toLocaleString("en")}: `, el("code", {}, "webmatrix compare"), " tells them of any.") : null,
    run.ratios.length ? el("p", { class: "note" }, "Medians, with bootstrap intervals; of fewer than five samples there is none. Cells that were not run in turn differ by what changed on the machine meanwhile too: ", el("code", {}, "webmatrix compare"), " runs them in turn.") : null,
    section("As inputs grow", scaling(run, timed, of)),
  ];
}
