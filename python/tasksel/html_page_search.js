"use strict";
// Makes the tables of records searchable and sortable. Texts of strangers are only ever given to textContent.
for (const place of document.querySelectorAll(".records")) {
  const { columns, terms } = JSON.parse(place.querySelector("script").textContent);
  const nRows = columns.length ? columns[0].values.length : 0;
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const raw = (column, row) => {
    const value = column.values[row];
    return column.words && value !== null ? column.words[value] : value;
  };
  const shown = (column, row) => {
    const value = raw(column, row);
    if (value === null) return "–";
    if (!column.number) return value;
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  };
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const tools = place.querySelector(".tools");
  const [search] = tools.getElementsByTagName("input");
  const [size] = tools.getElementsByTagName("select");
  const count = tools.querySelector(".count");
  const pager = place.querySelector(".pager");
  const [previous, next] = pager.getElementsByTagName("button");
  const position = pager.querySelector("span");
  const live = place.querySelector(".live");
  const head = make("tr");
  const body = make("tbody");
  const table = make("table");
  table.append(make("thead"), body);
  table.tHead.append(head);
  live.append(table);

  let haystacks = null;
  let found = Array.from({ length: nRows }, (_, row) => row);
  let sorted = null;
  let isRising = true;
  let first = 0;

  const look = () => {
    haystacks ??= Array.from({ length: nRows }, (_, row) =>
      columns.map((column) => shown(column, row)).join("\n").toLowerCase());
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = [];
    for (let row = 0; row < nRows; row++) {
      if (words.every((word) => haystacks[row].includes(word))) found.push(row);
    }
    order();
  };
  const order = () => {
    if (sorted !== null) {
      const column = columns[sorted];
      const sign = isRising ? 1 : -1;
      found.sort((one, other) => {
        const [a, b] = [raw(column, one), raw(column, other)];
        if (a === null || b === null) return (a === null) - (b === null) || one - other;
        return sign * (column.number ? a - b : compare(a, b)) || one - other;
      });
    }
    first = 0;
    show();
  };
  const cell = (column, row) => {
    const text = shown(column, row);
    const made = make("td", undefined, column.kind);
    if (text.length <= terms.clamp) {
      made.textContent = text;
      return made;
    }
    const beginning = Array.from(text).slice(0, terms.clamp).join("") + "…";
    const part = make("span", beginning);
    const more = make("button", "more");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.addEventListener("click", () => {
      const isOpen = more.getAttribute("aria-expanded") === "true";
      more.setAttribute("aria-expanded", String(!isOpen));
      more.textContent = isOpen ? "more" : "less";
      part.textContent = isOpen ? beginning : text;
    });
    made.append(part, more);
    return made;
  };
  const show = () => {
    const step = Number(size.value);
    const rows = found.slice(first, first + step).map((row) => {
      const line = make("tr");
      line.append(...columns.map((column) => cell(column, row)));
      return line;
    });
    body.replaceChildren(...rows);
    const number = (value) => value.toLocaleString("en");
    count.textContent = found.length === nRows
      ? `${number(nRows)} rows`
      : `${number(found.length)} of ${number(nRows)} rows`;
    position.textContent = found.length
      ? `${number(first + 1)} to ${number(Math.min(first + step, found.length))}`
      : "nothing found";
    previous.disabled = first === 0;
    next.disabled = first + step >= found.length;
  };

  columns.forEach((column, index) => {
    const header = make("th", undefined, column.kind);
    const button = make("button", column.title);
    header.scope = "col";
    button.type = "button";
    button.addEventListener("click", () => {
      isRising = sorted === index ? !isRising : true;
      sorted = index;
      for (const other of head.children) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", isRising ? "ascending" : "descending");
      order();
    });
    header.append(button);
    head.append(header);
  });
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 120);
  });
  size.addEventListener("change", () => {
    first = 0;
    show();
  });
  const turn = (sign) => () => {
    first = Math.max(first + sign * Number(size.value), 0);
    show();
  };
  previous.addEventListener("click", turn(-1));
  next.addEventListener("click", turn(1));
  tools.hidden = pager.hidden = live.hidden = false;
  place.classList.add("scripted");
  show();
}
