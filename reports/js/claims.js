import { el, section, table } from "./dom.js";
import { count, rounded } from "./format.js";
import { link } from "./state.js";
import { cells } from "./overview.js";

const MOST_PAIRS = 200;

// How a verdict looks: its style, its sign, its heading.
const VERDICTS = {
  confirmed: ["pass hardware", "✓", "Confirmed"],
  refuted: ["bad", "✗", "Refuted"],
  "unmeasurable here": ["none", "·", "Unmeasurable here"],
};

const STANDS = { keeps: "keeps it", breaks: "breaks it", open: "leaves it open" };

/** A figure, with its interval where it has one that is wider than it, else with what is to be said of that. */
function figure(told, without = "") {
  if (!told || told[0] === null) return "";
  const [value, lo, hi] = told.map((end) => (end === null ? null : rounded(end)));
  return lo === null ? value + without : lo === hi ? value : `${value} (${lo}–${hi})`;
}

/** Every pair that a verdict rests on. */
function pairs(run, claim) {
  if (!claim.pairs.length) return null;
  const name = (at) => el("a", { href: link({ view: "cell", cell: run.idOf(at) }) }, run.short(at));
  const ratios = claim.pairs.some((pair) => pair.against !== null);
  const what = count(claim.pairs.length, ratios ? "pair" : "cell");
  return el("details", {}, el("summary", {}, `${what} of ${claim.models.join(", ")}`),
    table(["cell", ...(ratios ? ["over"] : []), ratios ? "ratio" : "figure", "", ""], claim.pairs.slice(0, MOST_PAIRS).map((pair) => [
      name(pair.cell), ...(ratios ? [pair.against === null ? "" : name(pair.against)] : []), figure(pair.value, ", no interval"), STANDS[pair.stands], pair.note ?? ""]), { label: `What "${claim.says}" rests on` }));
}

function row(run, claim, at) {
  const [classes, sign] = VERDICTS[claim.verdict];
  return [
    [claim.says, el("small", {}, ` ${claim.whose}`)],
    el("span", { class: `cell ${classes}` }, `${sign} ${claim.verdict}`),
    figure(claim.value),
    [claim.why, claim.left_out.length > 0 && el("small", {}, ` Left out: ${claim.left_out.map(([why, cells]) => `${count(cells, "cell")}, ${why}`).join("; ")}.`),
      claim.asked && el("small", {}, ` Asked: ${claim.asked}.`), claim.decide && el("small", {}, " To tell more: ", el("code", {}, claim.decide)), pairs(run, claim)],
    cells(run, claim.cells, link({ view: "matrix", among: `claim-${at}` })) ?? "",
  ].map((cell) => (Array.isArray(cell) ? cell.filter(Boolean) : cell));
}

export function claimsView(run) {
  const part = (verdict) => {
    const rows = run.claims.flatMap((claim, at) => (claim.verdict === verdict ? [row(run, claim, at)] : []));
    const [, , title] = VERDICTS[verdict];
    return section(title, rows.length ? table(["Promise", "Verdict", "Measured", "Why", "Cells"], rows, { label: title, classes: "plain reasons claims" }) : null);
  };
  const tile = (verdict, classes) => {
    const all = run.claims.filter((claim) => claim.verdict === verdict).length;
    return el("li", { class: `tile ${classes}` }, el("b", {}, String(all)), " ", verdict);
  };
  return [
    el("h1", {}, "Claims"),
    el("p", { class: "note" }, "What people promise, beside what this run measured. A verdict rests on proven cells, each beside the one that is the same but for one axis: two pairs at least, of two models, each with its 95 % interval; bytes are exact. Times are of hardware and the CPU, of cells that ran in turn. Measured is the mean over models, from five on with its interval. What is neither confirmed nor refuted says why."),
    run.claims.length ? [
      el("ul", { class: "tiles" }, tile("confirmed", "good"), tile("refuted", "bad"), tile("unmeasurable here", "")),
      Object.keys(VERDICTS).map(part),
    ] : el("p", { class: "nothing" }, "Claims are judged when a run has ended."),
  ];
}
