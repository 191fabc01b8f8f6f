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

const SHORT = { not_applicable: "n/a", not_implemented: "not built" };

/** What stands in a cell. */
export function label(run, at) {
  const look = run.look(at);
  const [, , word] = LOOKS[look];
  if (look === "bad" || look === "none") return SHORT[run.text("status", at)] ?? run.text("status", at);
  if (word && look !== "software" && look !== "fallback") return word;
  // What a quantised model is asked first is what it still knows.
  const cosine = run.number("cosine", at);
  if (cosine !== null) return "cos " + cosine.toFixed(4);
  // A software GPU's time is no statement about speed, so none is shown at a glance.
  if (word) return word;
  const median = run.number("median", at);
  return median === null ? "right" : ms(median);
}
