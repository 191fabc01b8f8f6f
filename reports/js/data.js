// The page's data: runs, their cells in columns, and what stands behind a cell in blocks that are unpacked when they are
// needed.

export const AXES = ["browser", "model", "size", "runtime", "backend", "precision", "profile"];

class Run {
  constructor(raw, report) {
    const { behind, ...told } = raw;
    Object.assign(this, told);
    this.report = report;
    this.first = behind;
    this.count = raw.cells.count;
    this.flaky = new Set(raw.cells.flaky);
    this.doubted = new Set(raw.cells.doubted);
    this.lossy = new Set(raw.cells.lossy);
    this.metric = Object.fromEntries(raw.cells.metrics);
    this.bytes = Object.fromEntries(raw.cells.memory);
  }

  /** A text of a cell. */
  text(column, at) {
    const { names, of } = this.cells[column];
    return names[of[at]];
  }

  /** Every text of a column. */
  names(column) {
    return this.cells[column].names;
  }

  /** A number of a cell; null where there is none. */
  number(column, at) {
    return (this.cells[column] ?? this.metric[column] ?? this.bytes[column])?.[at] ?? null;
  }

  look(at) {
    return this.text("look", at);
  }

  /** Proven, and timed on what it claims. */
  timed(at) {
    return ["hardware", "cpu"].includes(this.look(at)) && this.number("median", at) !== null;
  }

  idOf(at) {
    const [browser, model, size, runtime, backend, precision, profile] = AXES.map((axis) => this.text(axis, at));
    return `${browser}/${model}@${size}/${runtime}/${backend}/${precision}/${profile}`;
  }

  /** An id without what is the same everywhere. */
  short(at) {
    return this.idOf(at).replace("/webmatrix/", "/").replace(/\/default$/, "");
  }

  find(id) {
    if (!this.places) {
      this.places = new Map();
      for (let at = 0; at < this.count; at += 1) this.places.set(this.idOf(at), at);
    }
    return this.places.get(id);
  }

  /** What a person may look for. */
  search(at) {
    this.searched ??= [];
    this.searched[at] ??= `${this.idOf(at)} ${this.text("status", at)} ${this.text("reason", at)}`.toLowerCase();
    return this.searched[at];
  }

  /** Everything behind a cell, once it is unpacked. */
  async behind(at) {
    const block = this.first + Math.floor(at / this.report.block);
    this.report.blocks[block] ??= unpacked(this.report.texts[block]);
    return (await this.report.blocks[block])[at % this.report.block];
  }

  /** Axes along which its cells differ. */
  varying() {
    return AXES.filter((axis) => this.names(axis).length > 1);
  }
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
}

/** Reads the data of a document, which is this one or the one that a dashboard gives next. */
export function read(source) {
  const raw = JSON.parse(source.getElementById("data").textContent);
  const texts = [...source.querySelectorAll("script.behind")].map((script) => script.textContent);
  const report = { sessions: raw.sessions, block: raw.block, texts, blocks: [] };
  report.runs = raw.runs.map((run) => new Run(run, report));
  return report;
}
