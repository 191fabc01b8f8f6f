import { el, chooser } from "./dom.js";
import { AXES } from "./data.js";

// What is shown stands in the address behind #, so that every view is a link and the back button works.

/** What cells are narrowed by, besides text. */
export const FILTERS = [...AXES, "status", "evidence"];

const KEPT = ["run", ...FILTERS, "look", "among", "text"];

export function state() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** The address of a view: what narrows cells is kept, the rest is as given. */
export function link(changes) {
  const now = state();
  const next = Object.fromEntries(KEPT.filter((key) => now[key]).map((key) => [key, now[key]]));
  return address({ ...next, ...changes });
}

/** The address of this view with something else. */
export const here = (changes) => address({ ...state(), ...changes });

function address(wanted) {
  const known = Object.entries(wanted).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return "#" + new URLSearchParams(known);
}

/** Goes on in this view. What is typed leaves no trace for the back button. */
export function go(changes, replace = false) {
  if (!replace) {
    location.hash = here(changes);
    return;
  }
  history.replaceState(null, "", here(changes));
  dispatchEvent(new Event("hashchange"));
}

/** The cells that are left, in the plan's order. */
export function selected(run, now = state()) {
  const wanted = FILTERS.filter((name) => now[name]).map((name) => {
    const { names, of } = run.cells[name];
    return [of, names.indexOf(now[name])];
  });
  const look = now.look && [run.cells.look.of, run.names("look").indexOf(now.look)];
  if (look) wanted.push(look);
  const among = now.among ? new Set(cellsOf(run, now.among).cells) : null;
  const words = (now.text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (let at = 0; at < run.count; at += 1) {
    if (among && !among.has(at)) continue;
    if (!wanted.every(([of, code]) => of[at] === code)) continue;
    if (words.length && !words.every((word) => run.search(at).includes(word))) continue;
    found.push(at);
  }
  return found;
}

/** The cells that a change, a reason or a claim names. */
export function cellsOf(run, name) {
  if (name === "doubted" || name === "lossy") return { cells: [...run[name]], says: name };
  const [kind, place] = name.split("-");
  const list = { change: run.changes?.lines, claim: run.claims }[kind] ?? run.failures;
  return list?.[+place] ?? { cells: [] };
}

/** What narrows the cells of a view. */
export function filters(run, found, further = []) {
  const now = state();
  const choices = FILTERS.filter((name) => run.names(name).length > 1 || now[name]);
  const text = el("input", { type: "search", name: "text", placeholder: "model, browser, reason", autocomplete: "off", value: now.text ?? "",
    input: () => go({ text: text.value.trim() }, true) });
  const form = el("form", { class: "filters", "aria-label": "Narrow the cells", submit: (event) => event.preventDefault() },
    el("label", {}, "Find ", text),
    el("output", { name: "shown" }, `${found.length.toLocaleString("en")} of ${run.count.toLocaleString("en")} cells`),
    choices.map((name) => chooser(name[0].toUpperCase() + name.slice(1), name,
      [["", "any"], ...[...run.names(name)].filter(Boolean).sort().map((value) => [value, value])], now[name] ?? "", (value) => go({ [name]: value }))),
    further);
  const chips = [];
  if (now.look) chips.push(["look", now.look]);
  if (now.among) chips.push(["among", cellsOf(run, now.among).says ?? cellsOf(run, now.among).reason ?? now.among]);
  const narrowed = [...FILTERS, "look", "among", "text"].filter((name) => now[name]);
  return el("div", { class: "narrow" }, form, el("p", { class: "chips" },
    chips.map(([name, says]) => el("a", { class: "chip", href: here({ [name]: null }) }, `${says.length > 80 ? says.slice(0, 79) + "…" : says} `, el("span", { "aria-hidden": "true" }, "×"), el("span", { class: "hidden-text" }, "show others too"))),
    narrowed.length ? el("a", { class: "chip plain", href: here(Object.fromEntries(narrowed.map((name) => [name, null]))) }, "Show everything") : null));
}
