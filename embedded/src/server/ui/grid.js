// Tables of rows. Everything is put in as text: nothing that the server sends is ever markup.

import { isNumber, show, typeName } from "./values.js";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const note = (text, kind = "quiet") => element("p", { class: kind }, text);

/** Letters that a cell has room for, about. */
const LONG = 50;

function cell(value, type) {
  const kind = value === null || value === undefined ? "null" : isNumber(type) ? "number" : undefined;
  const text = show(value, type);
  // What is cut off can still be read.
  return element("td", { class: kind, title: text.length > LONG ? text : undefined }, text);
}

export function grid(columns, rows) {
  const head = columns.map((column) => {
    const type = column.data_type === undefined ? "" : element("small", {}, typeName(column.data_type));
    return element("th", { scope: "col" }, column.name, type);
  });
  const body = element("tbody", {}, ...rows.map((row) => line(columns, row)));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), body);
  return element("div", { class: "grid", tabindex: "0" }, table);
}

export function line(columns, row) {
  return element("tr", {}, ...columns.map((column, at) => cell(row[at], column.data_type)));
}

/** Shows `row` in a line that is there, and marks the cells that changed. */
export function refresh(tr, columns, before, row) {
  columns.forEach((column, at) => {
    const [old, now] = [show(before[at], column.data_type), show(row[at], column.data_type)];
    if (old === now) return;
    const td = cell(row[at], column.data_type);
    td.classList.add("changed");
    tr.children[at].replaceWith(td);
  });
}
