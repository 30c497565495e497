// Elements made from values, and a page changed into another without losing focus, selection or scroll position.
// Text only ever becomes text: nothing here, nor anywhere else on the page, parses a string as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: h("p", { class: "quiet" }, "text", child). False, null and undefined are left out. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === false || child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Changes what `parent` holds into `children`, touching only what differs. */
export function show(parent, ...children) {
  const fresh = document.createDocumentFragment();
  for (const child of children.flat(Infinity)) if (child) fresh.append(child);
  morphChildren(parent, fresh);
}

function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let cursor = parent.firstChild;
  for (const next of [...fresh.childNodes]) {
    const match = matching(next, cursor, keyed);
    if (match === null) {
      parent.insertBefore(next, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(match, cursor);
    morph(match, next);
  }
  while (cursor) {
    const gone = cursor;
    cursor = cursor.nextSibling;
    gone.remove();
  }
}

function matching(next, cursor, keyed) {
  const key = next.dataset?.key;
  const found = key ? keyed.get(key) : cursor;
  if (!found || found.nodeName !== next.nodeName || found.dataset?.key !== key) return null;
  return found;
}

function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.dataset.keep !== undefined && old.dataset.keep === fresh.dataset.keep) return;
  if (old.isEqualNode(fresh)) return;
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name); // a person opened it
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphChildren(old, fresh);
}

/** A table with a caption; a cell is a value, or an element. Columns: { name, number, wide }. */
export function table(caption, columns, rows, { quiet = false, empty = "None." } = {}) {
  const cell = (tag, column, content) =>
    h(tag, { class: column.number ? "number" : null, scope: tag === "th" ? "col" : null }, content);
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", {},
      h("caption", { class: quiet ? "unseen" : null }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => cell("th", column, column.name)))),
      h("tbody", {}, rows.map((row) =>
        h("tr", { "data-key": row.key ?? null, class: row.class ?? null },
          (row.cells ?? row).map((content, at) => cell("td", columns[at], content)))))));
}
