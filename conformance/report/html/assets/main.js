// Filters, keys, the theme, and what happens when the fragment changes.
const search = document.getElementById("q");
const onlyAlerts = document.getElementById("alert");

function drawLegend() {
  const counts = new Map();
  for (const entry of entries) counts.set(entry.now, (counts.get(entry.now) || 0) + 1);
  const chosen = (state.filters.status || "").split(",").filter(Boolean);
  document.getElementById("legend").replaceChildren(...Object.keys(packed.marks)
    .filter((name) => counts.get(name)).map((name) => make("button", {
      type: "button", "aria-pressed": String(chosen.includes(name)), title: packed.marks[name][3],
      onclick: () => toggle(chosen, name), "data-status": name,
    }, markOf(name), make("span", {}, name), make("b", {}, String(counts.get(name))))));
}

function toggle(chosen, name) {
  const status = chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name];
  go({filters: {status: status.join(",")}}, {replace: true});
  document.querySelector(`#legend [data-status="${CSS.escape(name)}"]`).focus();
}

// A choice for every axis that has one.
function drawSelects() {
  const place = document.getElementById("selects");
  const valueOf = (entry, name) => name === "change" ? entry.label : entry.axes[name];
  for (const axis of ["change", ...packed.axes]) {
    const values = [...new Set(entries.map((entry) => valueOf(entry, axis)))].filter(Boolean);
    if (values.length < 2) continue;
    place.append(make("label", {}, make("span", {}, axis), make("select", {
      "data-axis": axis, onchange: (event) => go({filters: {[axis]: event.target.value}}, {replace: true}),
    }, make("option", {value: ""}, "all"), values.map((value) => make("option", {value}, value)))));
  }
}

function showFilters() {
  if (document.activeElement !== search) search.value = state.filters.q || "";
  onlyAlerts.checked = Boolean(state.filters.alert);
  for (const select of document.querySelectorAll("#selects select")) {
    select.value = state.filters[select.dataset.axis] || "";
  }
  document.getElementById("clear").disabled = !filtering(state.filters);
  drawLegend();
}

let drawn = null;

function update() {
  const before = state.open;
  if (!readFragment()) return;
  const filters = JSON.stringify(state.filters);
  if (filters !== drawn) { drawn = filters; showFilters(); drawMatrix(); }
  if (before !== state.open || !state.open) drawDrawer();
}

let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => go({filters: {q: search.value.trim()}}, {replace: true}), 90);
});
onlyAlerts.addEventListener("change", () =>
  go({filters: {alert: onlyAlerts.checked ? "1" : ""}}, {replace: true}));
document.getElementById("clear").addEventListener("click", () => {
  search.value = "";
  go({filters: Object.fromEntries(FILTERS.map((name) => [name, ""]))}, {replace: true});
});
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
grid.addEventListener("keydown", move);
grid.addEventListener("click", (event) => {
  const button = event.target.closest(".cell");
  if (button) go({open: button.dataset.id});
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-issue], [data-copy-command]");
  if (!button) return;
  const {copyIssue, copyCommand} = button.dataset;
  copy(copyIssue ? packed.causes[copyIssue].issue : packed.causes[copyCommand].command, button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.open) closeDrawer();
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

// A link of the sentence or of a cause leads to the matrix, where its cells are.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#?"]');
  if (link) document.getElementById("matrix").scrollIntoView();
});

const root = document.documentElement;
function themed(name) { if (name) root.dataset.theme = name; }
try { themed(localStorage.getItem("conformance-theme")); } catch { /* a file may have no storage */ }
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  themed(dark ? "light" : "dark");
  try { localStorage.setItem("conformance-theme", root.dataset.theme); } catch { /* likewise */ }
});

// Paper cannot be unfolded.
window.addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details.more:not([open])")) {
    each.open = each.dataset.printed = true;
  }
});
window.addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-printed]")) {
    each.open = false;
    delete each.dataset.printed;
  }
});

function start() {
  window.addEventListener("hashchange", update);
  drawSelects();
  update();
  // A fragment that is no cell and no part of the page shows the page as it is.
  if (drawn === null) { showFilters(); drawMatrix(); drawn = JSON.stringify(state.filters); }
  // What lies below the matrix has moved down; an address with a cell or filters is about the matrix.
  const place = state.open ? cellOf(state.open) : document.getElementById(
    filtering(state.filters) ? "matrix" : location.hash.slice(1));
  if (place) place.scrollIntoView({block: state.open ? "center" : "start"});
  document.body.dataset.ready = "yes";
}
// The words are painted before thousands of cells are made; a hidden tab is never painted.
if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));
