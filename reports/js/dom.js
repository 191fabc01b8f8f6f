// Making elements. Everything shown comes from the database as text: it is only ever put in as text.

/** What would turn the text around it, or is not seen, written out: \u{202e}. New lines and tabs stay. */
export const visible = (text) => text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

/** Attributes that people read. */
const READ = ["title", "aria-label", "placeholder"];

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : READ.includes(name) ? visible(String(value)) : value);
  }
  node.append(...children.flat(Infinity).filter((child) => ![null, undefined, "", false].includes(child)).map((child) => (typeof child === "string" ? visible(child) : child)));
  return node;
}

/** A list of names and values; what is not known is left out. */
export function facts(pairs, classes = null) {
  const known = pairs.filter(([, value]) => ![null, undefined, ""].includes(value));
  if (!known.length) return null;
  return el("dl", { class: classes }, known.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]));
}

/** A table whose first column names its rows. */
export function table(head, rows, { caption, label, classes = "plain" } = {}) {
  const row = (cells) => el("tr", {}, cells.map((cell, at) => {
    const content = cell instanceof Node || Array.isArray(cell) ? cell : String(cell ?? "");
    return at ? el("td", {}, content) : el("th", { scope: "row" }, content);
  }));
  const made = el("table", { class: classes }, caption && el("caption", {}, caption),
    el("thead", {}, el("tr", {}, head.map((text) => (text === "" ? el("td", {}) : el("th", { scope: "col" }, text))))),
    el("tbody", {}, rows.map(row)));
  return scroller(label ?? caption ?? "Table", made);
}

/** What may be wider than the page, reachable by keyboard. */
export function scroller(label, ...content) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);
}

/** A part of a view with its heading; none without content. */
export function section(title, ...content) {
  const shown = content.flat(Infinity).filter(Boolean);
  return shown.length ? el("section", { class: "part" }, el("h2", {}, title), shown) : null;
}

export function preformatted(text, label) {
  return el("pre", { tabindex: "0", role: "region", "aria-label": label }, text);
}

/** Says something to those who do not see it change. */
export function announce(text) {
  let place = document.getElementById("announced");
  if (!place) {
    place = el("p", { id: "announced", class: "hidden-text", role: "status" });
    document.body.append(place);
  }
  place.textContent = visible(text);
}

/** A button that puts text on the clipboard. */
export function copier(text) {
  return el("button", { type: "button", class: "quiet", click: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page from disk may have no clipboard: the old way works there.
      const area = el("textarea", { class: "hidden-text" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    announce("Copied");
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } }, "Copy");
}

/** A choice among values. */
export function chooser(label, name, options, chosen, change) {
  const select = el("select", { name, change: () => change(select.value) },
    options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", {}, label, " ", select);
}
