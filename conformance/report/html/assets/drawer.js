// The drawer: everything about one cell, built when it is opened.
const drawer = document.getElementById("drawer");

function drawDrawer() {
  const entry = byId.get(state.open);
  for (const each of grid.querySelectorAll(".cell.open")) each.classList.remove("open");
  if (!entry) { drawer.hidden = true; drawer.replaceChildren(); return; }
  const button = cellOf(entry.id);
  if (button) { button.classList.add("open"); rove(button); }
  drawer.replaceChildren(head(entry), ...attemptsOf(entry), ...versionsOf(entry), ...again(entry));
  drawer.setAttribute("aria-label", `Details of ${entry.id}`);
  const wasHidden = drawer.hidden;
  drawer.hidden = false;
  drawer.scrollTop = 0;
  if (wasHidden || !drawer.contains(document.activeElement)) drawer.focus({preventScroll: true});
}

const cellOf = (id) => shown.flat().find((each) => each.dataset.id === id);

function closeDrawer() {
  const id = state.open;
  go({open: ""}, {replace: true});
  const button = cellOf(id) || rove();
  if (button) { rove(button); button.focus({preventScroll: true}); }
}

function head(entry) {
  const order = shown.flat().map((each) => each.dataset.id);
  const at = order.indexOf(entry.id);
  const step = (by, label, name) => make("button", {type: "button", "aria-label": name, title: name, disabled: !order[at + by] || at < 0,
    onclick: () => go({open: order[at + by]})}, label);
  const link = make("button", {type: "button", onclick: (event) =>
    copy(location.href.split("#")[0] + fragmentOf(entry.id, {}), event.target)}, "Copy link");
  const ended = entry.was ? [chip(entry.was), make("span", {}, "→"), chip(entry.now)] : chip(entry.now);
  return make("div", {class: "head"},
    make("div", {class: "tools"}, step(-1, "‹", "Previous case"), step(1, "›", "Next case"), link,
      make("button", {type: "button", class: "close", onclick: closeDrawer}, "Close")),
    make("h2", {}, foldable(entry.id)),
    make("div", {class: "ending"}, ended,
      entry.label ? make("b", {}, entry.label) : null,
      entry.alert ? make("span", {class: "alarm"}, entry.alert) : null,
      entry.cause >= 0 ? make("a", {href: `#cause-${entry.cause}`,
        onclick: (event) => { event.preventDefault(); toCause(entry.cause); }}, "its cause") : null));
}

// A long id breaks between its segments.
const foldable = (id) => id.split(/(?<=[.@>,])/).flatMap((part) => [part, make("wbr")]);

const chip = (ending) => make("span", {class: `chip ${toneOf(ending)}`}, ending);

function toCause(number) {
  const article = document.getElementById(`cause-${number}`);
  closeDrawer();
  const folded = article.closest("details.more");
  if (folded) folded.open = true;
  article.scrollIntoView({block: "center"});
}

function attemptsOf(entry) {
  if (!entry.attempts.length) {
    return [make("h3", {}, entry.now), make("p", {class: "said"}, entry.reason)];
  }
  return unpacked(entry).map((attempt) => make("section", {class: "attempt"},
    attempt.title ? make("h3", {}, attempt.title, chip(attempt.ending)) : null,
    ladder(attempt), ...judged(attempt), ...failed(attempt), ...differences(attempt), ...picturesOf(attempt),
    ...filesOf(attempt), ...numbers(attempt)));
}

// What comes before the first timed stage was done for an earlier case that shares the model; bits
// and size are judged from what other stages gathered.
function gonethrough(attempt, times) {
  if (!times.size) return new Set();
  const first = packed.stages.findIndex((stage) => times.has(stage));
  const unread = attempt.failure && (attempt.failure.stage === "structure" || !attempt.failure.reader);
  const whole = times.has("structure") && !unread;
  return new Set([...packed.stages.slice(0, first), ...times.keys(), ...(whole ? ["bits", "size"] : [])]);
}

function ladder(attempt) {
  const times = new Map();
  for (const step of attempt.steps) {
    times.set(step.stage, [...(times.get(step.stage) || []), step]);
  }
  const broken = new Set([attempt.failure && attempt.failure.stage]);
  const found = new Set(attempt.findings.map((each) => each.stage));
  const done = gonethrough(attempt, times);
  return make("ol", {class: "ladder", "aria-label": "Stages"}, packed.stages.map((stage) => {
    const kind = broken.has(stage) ? "broken" : found.has(stage) ? "found" : done.has(stage) ? "done" : "";
    const sign = {broken: "✗", found: "!", done: "✓"}[kind] || "·";
    const words = {broken: "broke", found: "differs", done: "passed"}[kind] || "not reached";
    return make("li", {class: kind, title: (times.get(stage) || []).map((step) =>
      `${step.reader} process: ${step.ms} ms`).join(", ")},
    `${sign} ${stage}`, make("span", {class: "unseen"}, ` ${words}`),
    byProcess(times.get(stage) || []).map(([reader, ms]) => make("span", {},
      `${reader === "fresh" ? "fresh " : ""}${milliseconds(ms)}`)));
  }));
}

function byProcess(steps) {
  const sums = new Map();
  for (const step of steps) sums.set(step.reader, (sums.get(step.reader) || 0) + step.ms);
  return [...sums];
}

const milliseconds = (ms) => ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;

function judged(attempt) {
  const found = [];
  if (attempt.storage) found.push(make("p", {class: "said"}, `Storage only: ${attempt.storage}`));
  if (!attempt.judgement) return found;
  if (attempt.judgement.reasons.length) found.push(make("ul", {class: "reasons"},
    attempt.judgement.reasons.map((reason) => make("li", {}, reason))));
  for (const name of attempt.judgement.covered) found.push(expected(name));
  return found;
}

function expected(name) {
  const [kind, reason, issue] = packed.expectations[name] || ["", "", ""];
  const link = /^https?:\/\//.test(issue)
    ? make("a", {href: issue, rel: "noreferrer"}, issue.replace("https://github.com/", ""))
    : issue ? `Upstream issue: ${issue}.` : "";
  return make("p", {class: "said quiet"}, "Expected: ", make("b", {}, name),
    kind ? ` (${kind}). ${reason} ` : "", link);
}

// An attempt with a title has headings below it.
const heading = (attempt, words) => make(attempt.title ? "h4" : "h3", {}, words);

function failed(attempt) {
  const failure = attempt.failure;
  if (!failure) return [];
  const by = failure.reader ? `, ${failure.reader} process${failure.reader === "both" ? "es" : ""}` : "";
  return [
    heading(attempt, failure.stage ? `At ${failure.stage}${by}` : "No result"),
    make("p", {class: "said"}, make("b", {}, failure.type), `: ${failure.message}`),
    failure.leftovers ? make("p", {class: "said"}, "Left behind: ",
      make("code", {}, failure.leftovers.split("\n").join(", "))) : null,
    failure.traceback ? make("details", {open: true}, make("summary", {}, "Traceback"),
      make("pre", {tabindex: "0"}, failure.traceback.trimEnd())) : null,
  ].filter(Boolean);
}

function differences(attempt) {
  if (!attempt.findings.length) return [];
  const rows = attempt.findings.map((each) => make("tr", {},
    make("td", {}, each.check, make("br"), chipOf(each.harm)), paths(each),
    make("td", {}, each.what), make("td", {}, each.wanted), make("td", {}, each.got),
    make("td", {}, each.reader)));
  const scrolled = {class: "wide findings", tabindex: "0", role: "group", "aria-label": "Findings"};
  return [heading(attempt, "Findings"), make("div", scrolled, table(
    ["check", "path", "what", "wanted", "got", "process"], rows))];
}

const chipOf = (harm) => make("span", {class: `chip ${harm === "corrupt" ? "worst" : "warn"}`}, harm);

function paths(finding) {
  const all = finding.paths.split("\n");
  if (all.length < 4) return make("td", {class: "paths"}, finding.paths);
  const left = finding.count - all.length;
  return make("td", {class: "paths"}, all[0], make("details", {},
    make("summary", {}, `and ${finding.count - 1} more`), all.slice(1).join("\n"),
    left ? `\n${left} more are in the results file` : ""));
}

function table(names, rows, numeric = []) {
  return make("table", {}, make("thead", {}, make("tr", {}, names.map((name, at) =>
    make("th", {scope: "col", class: numeric.includes(at) ? "number" : null}, name)))),
  make("tbody", {}, rows));
}

// What a pipeline drew. A link is followed in a tab of its own: the report asks for nothing.
const opens = (href, words, name) => make("a", {href, target: "_blank", rel: "noreferrer",
  "aria-label": `${name}: ${words}`}, words.replace(/^frame /, ""));

function picturesOf(attempt) {
  if (!attempt.pictures.length) return [];
  return [heading(attempt, "Pictures"), make("div", {class: "pictures"}, attempt.pictures.map(
    ({title, source, links}) => make("figure", {}, source.startsWith("data:image/")
      ? make("img", {src: source, alt: title}) : opens(source, "open the file", title),
    make("figcaption", {}, title, links.length ? make("span", {class: "links"}, links.map(
      ([words, href]) => opens(href, words, title))) : null))))];
}

function filesOf(attempt) {
  const names = Object.keys(attempt.files);
  if (!names.length) return [];
  const total = names.reduce((sum, name) => sum + attempt.files[name], 0);
  const row = (name, size) => make("tr", {}, make("td", {}, make("code", {}, name)),
    make("td", {class: "number"}, bytes(size)));
  return [heading(attempt, "Files on disk"), table(["file", "bytes"],
    [...names.map((name) => row(name, attempt.files[name])), ...(names.length > 1 ? [row("all", total)] : [])], [1])];
}

const bytes = (size) => Math.round(size).toLocaleString("en").replaceAll(",", "\u202f");
const TITLES = {
  file_bytes: "bytes in all files", payload_bytes: "bytes of tensor data",
  payload_limit_bytes: "most bytes of tensor data", bf16_bytes: "bytes in bf16",
  quantized_tensors: "quantized tensors", inner_tensors: "inner tensors",
  sqnr_db: "signal to quantization noise, dB",
  psnr_db: "peak signal to noise of the picture, dB", ssim: "structural similarity of the picture",
};

function numbers(attempt) {
  const names = Object.keys(attempt.measures);
  if (!names.length) return [];
  const value = (each) => typeof each === "string" ? each : Number.isInteger(each) ? bytes(each) : each.toFixed(2);
  return [heading(attempt, "Measures"), table(["what", "value"], names.map((name) => make("tr", {},
    make("td", {}, TITLES[name] || name), make("td", {class: "number"}, value(attempt.measures[name])))), [1])];
}

function versionsOf(entry) {
  const sides = entry.sides.map((number) => packed.sides[number]);
  const names = [...new Set(sides.flatMap(([, versions, hardware]) =>
    [...Object.keys(versions), ...Object.keys(hardware)]))];
  const valueOf = ([, versions, hardware], name) => versions[name] ?? hardware[name] ?? "none";
  const rows = names.map((name) => {
    const values = sides.map((side) => valueOf(side, name));
    const differs = new Set(values).size > 1;
    return make("tr", {class: differs ? "differs" : null},
      make("th", {scope: "row"}, differs ? `${name} ≠` : name), values.map((value) => make("td", {}, value)));
  });
  const both = sides.length > 1 ? sides : [["writer and reader"]];
  return [make("h3", {}, "Observed versions"), make("div", {class: "wide"},
    table(["what", ...both.map(([title]) => title)], rows))];
}

function again(entry) {
  return [make("h3", {}, "Reproduce"), ...commandsOf(entry).map((command) =>
    make("div", {class: "command"}, make("code", {}, command),
      make("button", {type: "button", onclick: (event) => copy(command, event.target)}, "Copy")))];
}
