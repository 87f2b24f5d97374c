"use strict";

// A table. columns: {head, unit, value(row), write(value, row), className(row)}; `value` is what sorting goes by, null last.
function table(columns, rows, { sortable = false, own = () => false, tall = false } = {}) {
  const body = element("tbody", {});
  const cell = (column, row) => element("td", { className: column.className?.(row) }, column.write(column.value(row), row));
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) =>
    element("tr", { className: own(row) ? "own" : "" }, ...columns.map((column) => cell(column, row)))));
  const heads = columns.map((column, i) => {
    const unit = column.unit ? element("span", { className: "unit" }, column.unit) : null;
    if (!sortable) return element("th", { scope: "col" }, column.head, unit);
    const button = element("button", { type: "button", onclick: () => sortBy(i) }, column.head);
    return element("th", { scope: "col" }, button, unit);
  });
  const sortBy = (i) => {
    const { value, text } = columns[i];
    const now = heads[i].getAttribute("aria-sort");
    const ascending = now ? now === "descending" : Boolean(text); // figures begin with the largest
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    fill([...rows].sort((a, b) => ordered(value(a), value(b), ascending)));
  };
  fill(rows);
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  return element("div", { className: tall ? "scroll tall wide" : "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }, made);
}

function ordered(a, b, ascending) {
  const missing = (a === null) - (b === null);
  if (missing || a === null) return missing;
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return ascending ? order : -order;
}

function metricColumn(field) {
  const { name, unit } = FORMATS[field];
  return { head: name, unit, value: (row) => row[field], write: (v) => written(field, v) };
}

function present(fields, rows) {
  return fields.filter((field) => rows.some((row) => row[field] !== null && row[field] !== undefined));
}
