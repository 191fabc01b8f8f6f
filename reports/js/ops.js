import { el, scroller, section, table } from "./dom.js";
import { state } from "./state.js";

function head(ops, first, last) {
  return el("thead", {},
    el("tr", {}, el("th", { scope: "col", rowspan: "2", class: "corner" }, first), ops.groups.map((group) => el("th", { scope: "colgroup", colspan: String(group.backends.length), class: "first" }, group.browser, el("small", {}, ` ${group.version}`))),
      last && ops.limits.length ? el("th", { scope: "colgroup", colspan: String(ops.limits.length), class: "first" }, "opSupportLimits") : null),
    el("tr", {}, ops.groups.flatMap((group) => group.backends.map((backend, at) => el("th", { scope: "col", class: at ? null : "first" }, backend))),
      last ? ops.limits.map((browser, at) => el("th", { scope: "col", class: at ? null : "first" }, browser)) : null));
}

export function opsView(run) {
  const { ops } = run;
  if (!ops) return [el("h1", {}, "Ops"), el("p", { class: "nothing" }, "This run has no op cases: ", el("code", {}, "webmatrix run --suite ops"), " runs every op of the engine on its own.")];
  const firsts = ops.groups.flatMap((group) => group.backends.map((_, at) => at === 0));
  const text = (state().text ?? "").toLowerCase();
  const like = (name) => name.toLowerCase().includes(text);
  const slot = (cell, first) => el("td", { class: first ? "first" : null }, cell.label ? el("span", { class: `cell ${cell.class}`, title: cell.title }, cell.label) : null);
  const rows = ops.rows.filter((row) => like(`${row.op} ${row.dtype}`)).map((row) => el("tr", {}, el("th", { scope: "row" }, row.op, el("small", {}, ` ${row.dtype}`)),
    row.cells.map((cell, at) => slot(cell, firsts[at])), row.limits.map((limit, at) => slot(limit, at === 0))));
  const find = el("input", { type: "search", name: "text", value: state().text ?? "", placeholder: "op or type", input: () => {
    const next = { ...state(), text: find.value.trim() };
    history.replaceState(null, "", "#" + new URLSearchParams(Object.entries(next).filter(([, value]) => value)));
    dispatchEvent(new Event("hashchange"));
  } });
  return [
    el("h1", {}, "Ops"),
    el("ul", { class: "tiles" }, ops.tiles.map((tile) => el("li", { class: `tile ${tile.class}` }, el("b", {}, tile.count.toLocaleString("en")), " ", tile.label))),
    el("form", { class: "filters", "aria-label": "Narrow the ops", submit: (event) => event.preventDefault() }, el("label", {}, "Find ", find), el("output", {}, `${rows.length} of ${ops.rows.length} ops`)),
    el("p", { class: "note" }, `Rows are ops by element type. A number is the part of its tolerance, against the scalar oracle, that the worst element of the op's cases uses.${ops.limits.length ? " Beside them: what each browser's WebNN context says that it takes." : ""}`),
    scroller("Op matrix", el("table", { class: "matrix" }, head(ops, "Op", true), el("tbody", {}, rows))),
    section("Ops that did not pass, and why", ops.failures.length ? table(["Where", "Ops", "Status", "Reason"], ops.failures.map((failure) => [failure.place, failure.ops, failure.status, failure.reason]), { label: "Ops that did not pass" }) : null),
    el("details", {}, el("summary", {}, `Every op case, with its largest difference from the oracle (${ops.cases.length})`),
      scroller("Every op case", el("table", { class: "plain" }, head(ops, "Case", false), el("tbody", {}, ops.cases.filter((one) => like(`${one.name} ${one.dtype}`)).map((one) => el("tr", {}, el("th", { scope: "row" }, one.name, el("small", {}, ` ${one.dtype}`)), one.cells.map((cell) => el("td", {}, cell)))))))),
  ];
}
