import { el, chooser, scroller } from "./dom.js";
import { DOUBTED, LOOKS, LOSSY, SHOWN, label, lossy } from "./format.js";
import { AXES } from "./data.js";
import { filters, go, link, selected, state } from "./state.js";
import { legends } from "./overview.js";

/** More rows than this are made only while they are seen. */
const MANY = 120;
const SPARE = 12;

/** Which axis lies where: rows, columns, and columns within them. Each axis has one place. */
function pivot(run, now) {
  const has = (axis) => run.names(axis).length > 1;
  const cols = AXES.includes(now.cols) ? now.cols : "browser";
  const within = now.within === "none" ? null : AXES.includes(now.within) && now.within !== cols ? now.within : cols === "browser" ? "backend" : has("browser") && cols !== "browser" ? "browser" : null;
  const rows = AXES.includes(now.rows) && ![cols, within].includes(now.rows) ? now.rows : AXES.find((axis) => axis === "model" && ![cols, within].includes(axis)) ?? AXES.find((axis) => has(axis) && ![cols, within].includes(axis)) ?? "size";
  // Whatever else differs stands with the row's name, so that a place has one cell.
  const rest = AXES.filter((axis) => ![cols, within, rows].includes(axis) && has(axis));
  return { cols, within, rows, rest };
}

/** The cells laid out: columns in groups, and rows with a cell for each column that has one. */
function laid(run, found, { cols, within, rows, rest }) {
  const groups = new Map();
  const lines = new Map();
  for (const at of found) {
    const outer = run.text(cols, at);
    const inner = within ? run.text(within, at) : "";
    if (!groups.has(outer)) groups.set(outer, { name: outer, columns: new Map(), here: false, able: new Set() });
    const group = groups.get(outer);
    group.columns.set(inner, true);
    group.here ||= run.look(at) !== "absent" && run.text("status", at) !== "not_applicable";
    if (run.text("status", at) !== "not_applicable") group.able.add(inner);
    const names = [run.text(rows, at), ...rest.map((axis) => run.text(axis, at))];
    const key = names.join("\u0000");
    if (!lines.has(key)) lines.set(key, { names, cells: new Map() });
    lines.get(key).cells.set(`${outer}\u0000${inner}`, at);
  }
  // What was measured is read first; a browser that is absent needs one column, and a backend that cannot exist in one none.
  const ordered = [...groups.values()].sort((a, b) => b.here - a.here);
  for (const group of ordered) {
    const able = [...group.columns.keys()].filter((name) => group.able.has(name));
    group.columns = able.length ? able : [...group.columns.keys()];
    if (cols === "browser" && !group.here) group.columns = group.columns.slice(0, 1);
  }
  return { groups: ordered, lines: [...lines.values()] };
}

function cell(run, at, wanted) {
  const look = run.look(at);
  const [classes, sign, , means] = LOOKS[look];
  const flaky = run.flaky.has(at);
  const doubted = run.doubted.has(at);
  const loses = run.lossy.has(at);
  const shown = `${loses ? LOSSY : sign} ${label(run, at, wanted)}${flaky ? " ~" : ""}${doubted ? ` ${DOUBTED[0]}` : ""}`;
  const name = `${run.short(at)}: ${run.text("status", at)}, ${means}${flaky ? ", flaky: only on a retry" : ""}${loses ? `, lossy: ${lossy(run)}` : ""}${doubted ? `, doubted: ${DOUBTED[1]}` : ""}`;
  return el("a", { class: `cell ${classes}${flaky ? " flaky" : ""}${loses ? " lossy" : ""}${doubted ? " doubted" : ""}`, href: link({ view: "cell", cell: run.idOf(at) }), title: run.text("reason", at) || name, "aria-label": `${shown}, ${name}` }, shown);
}

/** Fills a table's body; of many rows only those that are seen, and all of them for a printer. */
function fill(box, body, total, make, width, signal) {
  if (total <= MANY) {
    body.append(...Array.from({ length: total }, (_, at) => make(at)));
    return;
  }
  box.classList.add("tall");
  let shown = [-1, -1];
  let height = 38;
  const space = (rows) => {
    const cells = el("td", { colspan: String(width) });
    cells.style.height = `${rows * height}px`;
    return el("tr", { class: "space", "aria-hidden": "true" }, cells);
  };
  const draw = (all) => {
    const first = all ? 0 : Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
    const last = all ? total : Math.min(total, Math.ceil((box.scrollTop + (box.clientHeight || 800)) / height) + SPARE);
    if (first === shown[0] && last === shown[1]) return;
    // What has the focus must not go while somebody reads on.
    const focused = document.activeElement?.closest?.("tr")?.getAttribute("aria-rowindex");
    shown = [first, last];
    body.replaceChildren(space(first), ...Array.from({ length: last - first }, (_, at) => make(first + at)), space(total - last));
    if (focused) body.querySelector(`tr[aria-rowindex="${focused}"] a`)?.focus({ preventScroll: true });
  };
  // At once for whoever looks at once, and again when it is known how high a row is.
  draw(false);
  requestAnimationFrame(() => {
    const row = body.querySelector("tr[aria-rowindex]");
    if (row?.offsetHeight) height = row.offsetHeight;
    shown = [-1, -1];
    draw(false);
  });
  box.addEventListener("scroll", () => requestAnimationFrame(() => draw(false)), { passive: true, signal });
  addEventListener("resize", () => draw(false), { signal });
  addEventListener("beforeprint", () => draw(true), { signal });
  addEventListener("afterprint", () => draw(false), { signal });
}

/** Arrows go from cell to cell, where there is one. */
function arrows(box, signal) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  box.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const from = event.target.closest?.("td");
    if (!step || !from || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    let [row, column] = [from.parentElement, from.cellIndex];
    do {
      column += step[1];
      row = step[0] < 0 ? row.previousElementSibling : step[0] > 0 ? row.nextElementSibling : row;
    } while (row && row.cells[column] && !row.cells[column].querySelector("a"));
    row?.cells[column]?.querySelector("a")?.focus();
  }, { signal });
}

export function matrix(run, signal) {
  const now = state();
  const found = selected(run, now);
  const place = pivot(run, now);
  const { groups, lines } = laid(run, found, place);
  const columns = groups.flatMap((group) => group.columns.map((inner, at) => ({ key: `${group.name}\u0000${inner}`, first: at === 0 })));
  const version = (name) => (place.cols === "browser" ? run.browsers.find((browser) => browser.label === name)?.version : "");
  const two = Boolean(place.within);
  const head = el("thead", {},
    el("tr", {},
      el("th", { scope: "col", rowspan: two ? "2" : null, class: "corner" }, [place.rows, ...place.rest].join(" ")),
      groups.map((group) => el("th", { scope: two ? "colgroup" : "col", colspan: two ? String(group.columns.length) : null, class: "first" }, group.name, el("small", {}, ` ${version(group.name) || ""}`)))),
    two && el("tr", {}, groups.flatMap((group) => group.columns.map((inner, at) => el("th", { scope: "col", class: at ? null : "first" }, place.cols === "browser" && !group.here ? "any" : inner)))));
  const body = el("tbody", {});
  const make = (at) => {
    const [name, ...rest] = lines[at].names;
    return el("tr", { "aria-rowindex": String(at + (two ? 3 : 2)) },
      el("th", { scope: "row" }, name, rest.length ? el("small", {}, ` ${rest.join(" ")}`) : null),
      columns.map(({ key, first }) => {
        const own = lines[at].cells.get(key);
        return el("td", { class: first ? "first" : null }, own === undefined ? null : cell(run, own, now.shows));
      }));
  };
  const grid = el("table", { class: "matrix", "aria-rowcount": String(lines.length + (two ? 2 : 1)) },
    el("caption", { class: "hidden-text" }, `Rows are ${place.rows}s, columns are ${[place.cols, place.within].filter(Boolean).join(" and ")}. Choose a cell to see what stands behind it.`), head, body);
  const box = scroller("Compatibility matrix", grid);
  arrows(box, signal);
  fill(box, body, lines.length, make, columns.length + 1, signal);
  const axes = (none) => [...(none ? [["none", "nothing"]] : []), ...AXES.map((axis) => [axis, axis])];
  const pivots = el("form", { class: "filters pivot", "aria-label": "Lay the matrix out", submit: (event) => event.preventDefault() },
    chooser("Rows", "rows", axes(false), place.rows, (value) => go({ rows: value })),
    chooser("Columns", "cols", axes(false), place.cols, (value) => go({ cols: value, within: value === (place.within ?? "") ? "none" : now.within })),
    chooser("within them", "within", axes(true), place.within ?? "none", (value) => go({ within: value })),
    chooser("Cells tell", "shows", [["", "what suits them"], ...Object.entries(SHOWN).map(([name, [title]]) => [name, title])], SHOWN[now.shows] ? now.shows : "", (value) => go({ shows: value })),
    el("a", { class: "chip plain", href: link({ view: "matrix" }) }, "As it was"));
  return [
    el("h1", {}, "Compatibility matrix"),
    filters(run, found),
    pivots,
    found.length ? box : el("p", { class: "nothing" }, "No cell is like this. ", el("a", { href: "#" + new URLSearchParams({ view: "matrix", run: run.id }) }, "Show all cells")),
    legends(run),
  ];
}
