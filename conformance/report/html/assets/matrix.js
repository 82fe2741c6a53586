// The matrix: rows and columns are those of the cells that pass the filters.
const grid = document.getElementById("grid");
const pairOf = (key) => key.join("\u0001");
const known = {rows: new Map(), columns: new Map()};
for (const entry of entries) {
  known.rows.set(pairOf(entry.row), entry.row);
  known.columns.set(pairOf(entry.column), entry.column);
}
const cellAt = new Map(entries.map((each) => [`${pairOf(each.row)}\u0002${pairOf(each.column)}`, each]));
let shown = [];
// Columns beyond which cells stand close and heads upright.
const MANY = 16;

function grouped(keys) {
  const groups = new Map();
  for (const key of keys) groups.set(key[0], [...(groups.get(key[0]) || []), key]);
  return groups;
}
// A group stands together wherever its cells come in the file.
const ROWS = [...grouped(known.rows.values()).values()].flat();
const COLUMNS = [...grouped(known.columns.values()).values()].flat();

function searchable(entry) {
  entry.words ??= [entry.id, entry.now, entry.label, entry.reason, ...entry.attempts.map((each) =>
    each[4] ? `${text(each[4][2])} ${text(each[4][3])}` : each[3].map((found) =>
      `${text(found[3])} ${text(found[5])}`).join(" "))].join(" ").toLowerCase();
  return entry.words;
}

function passes(entry, filters) {
  const among = (name, value) => !filters[name] || filters[name].split(",").includes(value);
  if (!among("status", entry.now) || !among("change", entry.label)) return false;
  if (filters.cause && Number(filters.cause) !== entry.cause) return false;
  if (filters.alert && !entry.alert) return false;
  for (const axis of packed.axes) {
    if (filters[axis] && filters[axis] !== entry.axes[axis]) return false;
  }
  const wanted = (filters.q || "").toLowerCase().split(/\s+/).filter(Boolean);
  return wanted.every((word) => searchable(entry).includes(word));
}

const filtering = (filters) => FILTERS.some((name) => name !== "none" && filters[name]);

// Without filters, a row in which nothing was measured is folded away, and counted below.
function visible(filters) {
  const found = entries.filter((entry) => passes(entry, filters));
  const wanted = filtering(filters) || filters.none ? found
    : found.filter((entry) => measured(entry.now) || (entry.was && measured(entry.was)));
  const rows = new Set(wanted.map((entry) => pairOf(entry.row)));
  const columns = new Set(wanted.map((entry) => pairOf(entry.column)));
  return {
    found: new Set(found),
    rows: ROWS.filter((row) => rows.has(pairOf(row))),
    columns: COLUMNS.filter((column) => columns.has(pairOf(column))),
  };
}

function drawMatrix() {
  const {found, rows, columns} = visible(state.filters);
  shown = [];
  const body = [...grouped(rows)].map(([scheme, own]) => make("tbody", {}, own.map((row, at) =>
    make("tr", {},
      at ? null : make("th", {class: "scheme", scope: "rowgroup", rowspan: own.length}, scheme),
      make("th", {class: "format", scope: "row"}, row[1] || "\u00a0"),
      drawRow(row, columns, found)))));
  grid.replaceChildren(heads(columns), ...body);
  grid.classList.toggle("empty", !rows.length);
  grid.classList.toggle("dense", columns.length > MANY);
  const first = grid.querySelector("tbody .scheme");
  if (first) grid.style.setProperty("--first", `${first.getBoundingClientRect().width}px`);
  rove(state.open && shown.flat().find((each) => each.dataset.id === state.open));
  tellShown(found, rows);
}

function heads(columns) {
  const top = [...grouped(columns)];
  const names = ["", ...packed.columns];
  return make("thead", {},
    make("tr", {},
      make("th", {class: "corner", scope: "col", rowspan: 2}, "scheme"),
      make("th", {class: "corner second", scope: "col", rowspan: 2}, packed.kind === "exchange" ? "format · route · subject" : "format"),
      top.map(([group, own]) => make("th",
        {class: "group", scope: "colgroup", colspan: own.length, title: `${names[1]} ${group}`},
        group || "unknown"))),
    make("tr", {}, top.flatMap(([, own]) => own.map((column, at) => make("th", {
      class: `${at ? "" : "group"} ${columns.length > MANY ? "upright" : ""}`,
      scope: "col", title: `${names[2]} ${column[1]}`,
    }, column[1] || "unknown")))));
}

function drawRow(row, columns, found) {
  const buttons = [];
  const cells = columns.map((column, at) => {
    const border = at === 0 || columns[at - 1][0] !== column[0] ? "group" : "";
    const entry = cellAt.get(`${pairOf(row)}\u0002${pairOf(column)}`);
    if (!entry) return make("td", {class: `nothing ${border}`, title: "not in these results"},
      make("span", {class: "unseen"}, "not in these results"));
    if (!found.has(entry)) return make("td", {class: `out ${border}`},
      make("span", {class: "unseen"}, "filtered out"));
    buttons.push(cell(entry));
    return make("td", {class: border}, buttons.at(-1));
  });
  if (buttons.length) shown.push(buttons);
  return cells;
}

function cell(entry) {
  const same = entry.was === entry.now;
  const ended = entry.was ? `${entry.was}, then ${entry.now}, ${entry.label}` : entry.now;
  const more = [entry.alert, entry.note === "s" ? "storage only" : ""].filter(Boolean);
  const name = [`${entry.id}: ${ended}`, ...more].join("; ");
  return make("button", {
    type: "button", class: `cell ${entry.was ? "pair" : ""} ${same ? "same" : ""} ` +
      `${entry.alert ? "alert" : ""} ${entry.id === state.open ? "open" : ""}`,
    "aria-label": name, title: name, tabindex: "-1", "data-id": entry.id,
  }, entry.was ? [markOf(entry.was, "was"), make("span", {class: "arrow", "aria-hidden": "true"},
    same ? "=" : "›")] : null, markOf(entry.now),
  entry.note ? make("span", {class: "note", "aria-hidden": "true"}, entry.note) : null);
}

// One cell of the matrix is in the order of the Tab key: the one that was in use last.
function rove(button) {
  const target = button || grid.querySelector(".cell");
  for (const each of grid.querySelectorAll('.cell[tabindex="0"]')) each.tabIndex = -1;
  if (target) target.tabIndex = 0;
  return target;
}

const STEPS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};

function move(event) {
  const from = event.target.closest(".cell");
  if (!from || !(event.key in STEPS || event.key === "Home" || event.key === "End")) return;
  event.preventDefault();
  const target = neighbour(from, event.key);
  if (target) rove(target).focus();
}

function neighbour(from, key) {
  const row = shown.findIndex((buttons) => buttons.includes(from));
  const line = shown[row];
  if (key === "Home") return line[0];
  if (key === "End") return line.at(-1);
  const [down, right] = STEPS[key];
  if (right) return line[line.indexOf(from) + right];
  // Up and down keep the column, over rows that have nothing there.
  const column = from.closest("td").cellIndex - from.closest("tr").cells.length;
  for (let at = row + down; shown[at]; at += down) {
    const found = shown[at].find((each) =>
      each.closest("td").cellIndex - each.closest("tr").cells.length === column);
    if (found) return found;
  }
  return null;
}

function tellShown(found, rows) {
  const hidden = ROWS.length - rows.length;
  const quiet = !filtering(state.filters);
  document.getElementById("shown").textContent = `${found.size} of ${entries.length} shown`;
  const place = document.getElementById("unmeasured");
  place.replaceChildren();
  if (quiet && (hidden || state.filters.none)) {
    const skipped = entries.filter((entry) => !measured(entry.now)).length;
    place.append(
      `${skipped} cells hold no measurement. `,
      make("button", {type: "button", onclick: () =>
        go({filters: {none: state.filters.none ? "" : "1"}}, {replace: true})},
      state.filters.none ? "Fold rows without a measurement"
        : `Show ${hidden} rows without a measurement`));
  }
}
