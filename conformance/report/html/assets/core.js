"use strict";
// Gives the packed data its names back, and holds what the other files share.
const packed = JSON.parse(document.getElementById("data").textContent);
const text = (number) => packed.texts[number];
const byId = new Map();

const entries = packed.entries.map((raw) => {
  const [id, row, format, group, column, now, was, label, alert, note, reason, axes, cause, sides,
    commands, ofCase, attempts] = raw;
  const entry = {
    id, now: text(now), was: text(was), label: text(label), alert: text(alert), note: text(note),
    reason: text(reason), row: [text(row), text(format)], column: [text(group), text(column)],
    axes: Object.fromEntries(axes.map((value, at) => [packed.axes[at], text(value)])),
    cause, sides, commands, ofCase: ofCase || id, attempts,
  };
  byId.set(id, entry);
  return entry;
});

// What only a drawer needs is unpacked when it is opened.
function unpacked(entry) {
  return entry.attempts.map(([title, ending, steps, findings, failure, storage, measures, files,
    judgement, pictures]) => ({
    title: text(title), ending: text(ending), storage: text(storage), measures, files,
    steps: steps.reduce((found, _, at) => at % 3 ? found : [...found, {
      stage: packed.stages[steps[at]], reader: packed.readers[steps[at + 1]], ms: steps[at + 2],
    }], []),
    pictures: pictures.map(([title, source, links]) =>
      ({title: text(title), source: packed.pictures[source], links})),
    findings: findings.map(([stage, reader, count, ...told]) => {
      const [check, harm, what, wanted, got, paths] = told.map(text);
      return {stage: packed.stages[stage], reader: packed.readers[reader], count, check, harm, what,
        wanted, got, paths};
    }),
    failure: failure && {
      stage: packed.stages[failure[0]] || "", reader: packed.readers[failure[1]] || "",
      type: text(failure[2]), message: text(failure[3]), traceback: text(failure[4]),
      leftovers: text(failure[5]),
    },
    judgement: judgement && {
      expected: judgement[0] === 1, stage: packed.stages[judgement[1]] || "",
      covered: judgement[2].map(text), reasons: judgement[3].map(text),
    },
  }));
}

function commandsOf(entry) {
  return entry.commands.map((number) =>
    text(number).replaceAll("\ue000", entry.id).replaceAll("\ue001", entry.ofCase));
}

// Makes an element. Texts become text nodes only: what a library said is never read as markup.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

function markOf(ending, extra = "") {
  const [letter, shape, tone] = packed.marks[ending] || ["?", "hatch", "none"];
  const inside = shape === "hatch" ? make("i", {}, letter) : letter;
  return make("span", {class: `mark ${shape} ${tone} ${extra}`, "aria-hidden": "true"}, inside);
}
const toneOf = (ending) => (packed.marks[ending] || ["", "", "none"])[2];
const measured = (ending) => toneOf(ending) !== "none";

// The fragment holds everything: `#CASE-ID`, `#?status=pass`, or `#CASE-ID?status=pass`.
const FILTERS = ["q", "status", "change", "cause", "alert", "none", ...packed.axes];
const state = {open: "", filters: {}};

function readFragment() {
  const whole = location.hash.slice(1);
  const at = whole.indexOf("?");
  let id = at < 0 ? whole : whole.slice(0, at);
  try { id = decodeURIComponent(id); } catch { id = ""; }
  if (id && !byId.has(id)) return document.getElementById(id) ? false : (state.open = "", true);
  state.open = id;
  const given = new URLSearchParams(at < 0 ? "" : whole.slice(at + 1));
  state.filters = {};
  for (const name of FILTERS) if (given.get(name)) state.filters[name] = given.get(name);
  return true;
}

function fragmentOf(open, filters) {
  const parts = FILTERS.filter((name) => filters[name]).map((name) =>
    `${name}=${encodeURIComponent(filters[name]).replaceAll("%2C", ",")}`);
  const id = encodeURIComponent(open).replace(/%(40|3E|2C)/g, decodeURIComponent);
  return `#${id}${parts.length ? `?${parts.join("&")}` : ""}`;
}

// Filters are kept while cells are opened and closed; typing leaves no trail of history.
function go(change, {replace = false} = {}) {
  const open = change.open ?? state.open;
  const filters = {...state.filters, ...change.filters};
  const fragment = fragmentOf(open, filters);
  if (replace) { history.replaceState(null, "", fragment); update(); } else location.hash = fragment;
}

function say(message) { document.getElementById("status").textContent = message; }

async function copy(content, button) {
  const before = button.textContent;
  const done = await copied(content);
  button.textContent = done ? "Copied" : "Could not copy";
  button.classList.toggle("done", done);
  say(button.textContent);
  setTimeout(() => { button.textContent = before; button.classList.remove("done"); }, 1600);
}

// A file of its own is no secure place everywhere: then a selected text is copied.
async function copied(content) {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch {
    const area = make("textarea", {class: "unseen", "aria-label": "text to copy"});
    area.value = content;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
