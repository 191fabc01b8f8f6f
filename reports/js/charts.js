import { el, table, visible } from "./dom.js";

// Charts. Each is a picture with a name, and the numbers behind it as a table for whoever cannot see it or wants them.

/** Colours that differ in lightness too, for light and dark paper; what they stand for is always written as well. */
export const COLOURS = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `var(--hue-${n})`);

/** One colour for each name. */
export const colours = (names) => new Map(names.map((name, at) => [name, COLOURS[at % COLOURS.length]]));

/** A chart with its name, what must be known to read it, and its numbers. */
export function chart(title, options, { note, head, rows } = {}) {
  const svg = globalThis.Plot.plot({
    width: 560, marginLeft: 110, marginTop: 26, marginBottom: 44, style: { background: "none", fontSize: "12px", overflow: "visible" },
    ...options, x: { labelOffset: 40, ...options.x },
  });
  // A picture is one thing to those who hear it: its parts need no names.
  svg.querySelectorAll("[aria-label]").forEach((part) => part.removeAttribute("aria-label"));
  // What stands in it did not come through `el`.
  const texts = document.createTreeWalker(svg, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = visible(texts.currentNode.data);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", visible(title));
  return el("figure", { class: "card" },
    el("figcaption", {}, title),
    note && el("p", { class: "note" }, note),
    svg,
    rows?.length ? el("details", {}, el("summary", {}, "The numbers"), table(head, rows, { label: `Numbers of ${title}` })) : null);
}

/** What colours stand for. */
export function legend(of) {
  return el("ul", { class: "keys" }, [...of].map(([name, colour]) => {
    const mark = el("span", { class: "swatch", "aria-hidden": "true" });
    mark.style.background = colour;
    return el("li", {}, mark, name);
  }));
}

/** Room on the left for the longest name. */
export const room = (names) => Math.min(230, 24 + 6.6 * Math.max(...names.map((name) => name.length)));

/** Samples spread: a box from quarter to quarter, the median as a bar, a line from least to most. */
export function boxes(title, rows, { unit, further = [], ...told }) {
  const { Plot } = globalThis;
  const names = rows.map((row) => row.name);
  const wide = Math.max(...rows.map((row) => row.most)) / Math.min(...rows.map((row) => row.least)) > 30;
  return chart(title, {
    height: 74 + 26 * rows.length,
    marginLeft: room(names),
    x: { label: unit, type: wide && rows.every((row) => row.least > 0) ? "log" : "linear", zero: !wide, grid: true, nice: true, ticks: 5, tickFormat: (x) => +x.toPrecision(3) },
    y: { label: null, domain: names, padding: 0.35 },
    marks: [
      Plot.ruleY(rows, { y: "name", x1: "least", x2: "most", stroke: "colour", strokeOpacity: 0.6 }),
      Plot.barX(rows, { y: "name", x1: "q1", x2: "q3", fill: "colour", fillOpacity: 0.35, stroke: "colour" }),
      Plot.tickX(rows, { y: "name", x: "median", stroke: "colour", strokeWidth: 3 }),
      ...further,
    ],
    color: { type: "identity" },
  }, told);
}
