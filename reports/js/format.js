// Numbers and words as people read them.

/** Three significant digits: more would claim more than a noisy clock can say. */
export function ms(value) {
  if (value === null || value === undefined) return "";
  if (value >= 10000) return (value / 1000).toFixed(1) + " s";
  return (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 0.1 ? value.toFixed(2) : value.toFixed(3)) + " ms";
}

export const small = (value) => (value === null || value === undefined ? "" : value === 0 ? "0" : value.toExponential(2));

export const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits));

export const rounded = (value) => String(+value.toPrecision(4));

export function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB"];
  const at = value > 0 ? Math.min(Math.floor(Math.log2(value) / 10), 3) : 0;
  return (at ? (value / 1024 ** at).toFixed(1) : value) + " " + units[at];
}

export const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/** A time, in UTC. */
export const when = (text) => (text ? text.slice(0, 16).replace("T", " ") + " UTC" : "");

/** Names one after another, the rest counted. */
export const named = (names, most) => names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");

// How a cell looks: its style, its sign, its word, and what that means.
export const LOOKS = {
  hardware: ["pass hardware", "✓", "", "proven on a GPU or NPU that is one"],
  cpu: ["pass cpu", "✓", "", "proven on the CPU"],
  software: ["pass software", "✓", "sw", "proven, but that GPU is software: right answers, no statement about speed"],
  fallback: ["pass fallback", "✓", "fb", "right, but another backend did (part of) the work"],
  unproven: ["none", "?", "unproven", "right, with nothing real behind it"],
  bad: ["bad", "✗", "", "ran and failed"],
  lack: ["lack", "–", "lacks", "a probe proved that the browser lacks it"],
  absent: ["absent", "…", "away", "not on this machine"],
  none: ["none", "·", "", "cannot exist, is not built yet, or was skipped"],
  open: ["none", "?", "no verdict", "has no verdict yet"],
};

/** What marks a cell whose CPU time says that it computed elsewhere than it claims; and what that means. */
export const DOUBTED = ["⚠ doubted", "proven, and the CPU was as busy as for the cell that computes on it"];

/** The sign of a cell whose precision keeps too little. */
export const LOSSY = "≈";

/** What it means: in a run, with its number. */
export const lossy = (run) => `computed right, but weights of this precision keep ${run ? `less than ${run.cells.kept}` : "too little"} of what full precision gives (cosine, or choices that are the same)`;

const SHORT = { not_applicable: "n/a", not_implemented: "not built" };

/** What cells can tell at a glance, besides what suits each. */
export const SHOWN = {
  time: ["time", (run, at) => (run.timed(at) ? ms(run.number("median", at)) : null)],
  cosine: ["cosine with full precision", (run, at) => fixed(run.number("cosine", at), 5)],
  same: ["choices the same", (run, at) => (run.number("same", at) === null ? null : `${(100 * run.number("same", at)).toFixed(1)} %`)],
  weights: ["memory of weights", (run, at) => bytes(run.number("weight_bytes", at) ?? run.number("weights", at))],
  bits: ["bits a weight", (run, at) => fixed(run.number("bits_per_weight", at), 2)],
  max_abs: ["largest difference", (run, at) => small(run.number("max_abs", at))],
  tokens: ["tokens per second", (run, at) => (run.timed(at) && run.number("tokens_per_second", at) !== null ? rounded(run.number("tokens_per_second", at)) : null)],
};

const PROVEN = ["hardware", "cpu", "software", "fallback"];

/** What stands in a cell. */
export function label(run, at, shown) {
  const look = run.look(at);
  const [, , word] = LOOKS[look];
  // What was not proven has no figures.
  if (SHOWN[shown] && PROVEN.includes(look)) return SHOWN[shown][1](run, at) || word || "right";
  if (look === "bad" || look === "none") return SHORT[run.text("status", at)] ?? run.text("status", at);
  if (word && look !== "software" && look !== "fallback") return word;
  // What a quantised model is asked first is what it still knows.
  const cosine = run.number("cosine", at);
  const same = run.number("same", at);
  // Where outputs lie close and choices differ, these are what was lost.
  if (run.lossy.has(at) && same !== null && (cosine === null || cosine >= run.cells.kept)) return `${(100 * same).toFixed(1)} % same`;
  if (cosine !== null) return "cos " + cosine.toFixed(4);
  // A software GPU's time is no statement about speed, so none is shown at a glance.
  if (word) return word;
  const median = run.number("median", at);
  return median === null ? "right" : ms(median);
}
