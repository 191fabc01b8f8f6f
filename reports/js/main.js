import { el, announce, chooser, visible } from "./dom.js";
import { when } from "./format.js";
import { read } from "./data.js";
import { here, link, selected, state } from "./state.js";
import { empty, overview } from "./overview.js";
import { matrix } from "./matrix.js";
import { cellPage } from "./cell.js";
import { capabilities } from "./capabilities.js";
import { opsView } from "./ops.js";
import { performanceView } from "./performance.js";
import { precisionView } from "./precision.js";
import { memoryView } from "./memory.js";
import { claimsView } from "./claims.js";
import { historyView } from "./history.js";

const VIEWS = {
  overview: ["Overview", (run) => overview(run)],
  matrix: ["Matrix", (run, signal) => matrix(run, signal)],
  capabilities: ["Capabilities", (run) => capabilities(run)],
  ops: ["Ops", (run) => opsView(run)],
  performance: ["Performance", (run) => performanceView(run)],
  precision: ["Precision", (run) => precisionView(run)],
  memory: ["Memory", (run) => memoryView(run)],
  claims: ["Claims", (run) => claimsView(run)],
  history: ["History", (run) => historyView(run, report)],
};

/** What a run of op cases has nothing for. */
const OF_CELLS = ["matrix", "performance", "precision", "memory", "claims", "history"];

const noCells = (run) => [el("h1", {}, VIEWS[viewOf(state())][0]), el("p", { class: "nothing" }, "This run has no cells",
  run.ops ? [": it ran ", el("a", { href: link({ view: "ops" }) }, "op cases"), "."] : ".")];

let report = read(document);
let leaving = new AbortController();
let last = "";
let shown = null;

/** The view that an address names; a cell's own page needs no more than the cell. */
const viewOf = (now) => (now.cell && (!now.view || now.view === "cell") ? "cell" : VIEWS[now.view] ? now.view : "overview");

const runOf = (now) => report.runs.find((run) => run.id === now.run) ?? report.runs[report.runs.length - 1];

function frame(run, view) {
  const current = view === "cell" ? "matrix" : view;
  document.getElementById("views").replaceChildren(el("ul", {}, Object.entries(VIEWS).map(([name, [title]]) =>
    el("li", {}, el("a", { href: link({ view: name }), "aria-current": name === current ? "page" : null }, title)))));
  const theme = document.documentElement.style.colorScheme;
  const next = { "": "dark", dark: "light", light: "" }[theme] ?? "";
  document.getElementById("tools").replaceChildren(
    ...(report.runs.length > 1 ? [chooser("Run", "run", report.runs.map((one) => [one.id, `${one.matrix} ${when(one.started)}`]).reverse(), run?.id, (id) => { location.hash = here({ run: id, among: null }); })] : []),
    el("button", { type: "button", class: "quiet", name: "theme", click: () => {
      document.documentElement.style.colorScheme = next;
      show();
    } }, `Colours: ${theme || "auto"}`),
    document.body.hasAttribute("data-live") ? el("span", { id: "live", class: "live" }, "live") : "");
}

/** Where somebody is in a view that is made anew. */
function whereabouts(main) {
  const boxes = () => [...main.querySelectorAll(".scroll")];
  const folded = () => [...main.querySelectorAll("details")];
  const [y, at, open] = [scrollY, boxes().map((box) => [box.scrollLeft, box.scrollTop]), folded().map((one) => one.open)];
  const href = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  return () => {
    folded().forEach((one, n) => { one.open = open[n] ?? one.open; });
    scrollTo(0, y);
    // A long table has its rows only in the next frame.
    requestAnimationFrame(() => {
      boxes().forEach((box, n) => { if (at[n]) [box.scrollLeft, box.scrollTop] = at[n]; });
      if (href) main.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
    });
  };
}

/** Shows what the address names. */
async function show() {
  performance.clearMarks("shown");
  const now = state();
  const view = viewOf(now);
  const run = runOf(now);
  const main = document.getElementById("main");
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const at = { name: document.activeElement?.name, start: document.activeElement?.selectionStart };
  const back = location.hash === shown ? whereabouts(main) : null;
  shown = location.hash;
  frame(run, view);
  let content;
  if (!run) content = empty();
  else if (OF_CELLS.includes(view) && !run.count) content = noCells(run);
  // What stands behind a cell has to be unpacked, and meanwhile somebody may have gone on.
  else content = await (view === "cell" ? cellPage(run, now.cell, selected(run, now)) : VIEWS[view][1](run, signal));
  if (signal.aborted) return;
  main.replaceChildren(...content.flat(Infinity).filter(Boolean));
  const title = view === "cell" ? now.cell : VIEWS[view][0];
  document.title = visible(`${title} · WebMatrix`);
  const place = `${view} ${now.cell ?? ""} ${now.run ?? ""}`;
  if (at.name) {
    // Who typed or chose goes on where they were.
    const same = document.querySelector(`[name="${CSS.escape(at.name)}"]`);
    same?.focus({ preventScroll: true });
    if (same?.type === "search") same.setSelectionRange(at.start, at.start);
  } else if (last && last !== place) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  back?.();
  if (last && last !== place) announce(title);
  last = place;
  performance.mark("shown");
}

addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
show();

// A dashboard tells of changes; what it then gives is this document again with other data.
if (document.body.hasAttribute("data-live")) {
  let version = null;
  let busy = false;
  const renew = async () => {
    if (busy) return;
    busy = true;
    const wanted = version;
    try {
      const text = await (await fetch(location.pathname, { cache: "no-store" })).text();
      report = read(new DOMParser().parseFromString(text, "text/html"));
      show();
    } finally {
      busy = false;
    }
    if (wanted !== version) setTimeout(renew, 1000);
  };
  const events = new EventSource("events");
  const tell = (text) => { const place = document.getElementById("live"); if (place) place.textContent = text; };
  events.addEventListener("state", (event) => {
    const told = JSON.parse(event.data);
    if (version !== null && version !== told.version) renew();
    version = told.version;
    tell(told.running ? `live: ${told.decided} of ${told.cells} cells` : "live");
  });
  events.addEventListener("error", () => tell("the dashboard is gone: this is the last that it said"));
}
