"use strict";
// Everything shown is put in as text; nothing of the data is ever read as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 300;
const el = (id) => document.getElementById(id);
const make = (tag, text = "", cls = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (cls) node.className = cls;
  return node;
};
const chosen = new Set();
let shown = [];
let current = -1;
let limit = PAGE;

const haystack = new Map();
const textOf = (item) => {
  if (!haystack.has(item)) haystack.set(item, JSON.stringify([data.rows[item.row], item.plays]).toLowerCase());
  return haystack.get(item);
};
const tagsOf = (item) => new Set([...item.plays.flatMap((play) => (play ? play.tags : [])), ...item.tags]);

function matches(item) {
  const row = data.rows[item.row];
  for (const [name, value] of [["task", row.task], ["condition", item.condition], ["group", row.group]]) {
    if (el(name).value && el(name).value !== value) return false;
  }
  const tags = tagsOf(item);
  for (const tag of chosen) if (!tags.has(tag)) return false;
  const words = el("search").value.toLowerCase();
  return !words || textOf(item).includes(JSON.stringify(words).slice(1, -1));
}

function filter() {
  shown = data.items.filter(matches);
  limit = PAGE;
  el("count").textContent = `${shown.length} of ${data.items.length}`;
  list();
}

function list() {
  const nav = el("list");
  nav.replaceChildren();
  shown.slice(0, limit).forEach((item, place) => {
    const button = make("button");
    for (const play of item.plays) button.append(mark(play), " ");
    button.append(`${data.rows[item.row].row_id} · ${item.condition}${item.repeat ? " #" + item.repeat : ""}`);
    button.setAttribute("aria-current", String(place === current));
    button.onclick = () => open(place);
    nav.append(button);
  });
  if (shown.length > limit) {
    const more = make("button", `${shown.length - limit} more`);
    more.onclick = () => { limit += PAGE; list(); };
    nav.append(more);
  }
}

function mark(play) {
  if (!play) return make("span", "–", "note");
  const good = play.verdict === "correct";
  const sign = play.tags.includes("error") ? "⚠" : good ? "✓" : play.verdict === "unjudged" ? "?" : "✗";
  return make("span", sign + (play.turns.length ? "·" + play.turns.length : ""), good ? "right" : "wrong");
}

function open(place) {
  if (place < 0 || place >= shown.length) return;
  if (place >= limit) { limit = place + PAGE; list(); }
  const buttons = el("list").children;
  if (buttons[current]) buttons[current].setAttribute("aria-current", "false");
  current = place;
  buttons[place].setAttribute("aria-current", "true");
  buttons[place].scrollIntoView({ block: "nearest" });
  const item = shown[place];
  const row = data.rows[item.row];
  const main = el("main");
  main.replaceChildren(make("h2", `${row.row_id} · ${item.condition} · ${row.task} · ${row.group}`));
  main.append(make("h3", "what the model read"), make("pre", item.condition === "full" ? row.full : row.shown));
  if (row.hidden.length) main.append(make("h3", "missing"), make("pre", row.hidden.map((f) => `${f.id}: ${f.text}`).join("\n")));
  main.append(make("h3", "gold"), make("pre", row.gold));
  const runs = make("div", "", "runs");
  item.plays.forEach((play, run) => runs.append(conversation(play, data.runs[run])));
  main.append(runs);
  main.scrollTop = 0;
  history.replaceState(null, "", "#" + encodeURIComponent(item.id));
}

function conversation(play, name) {
  const box = make("section");
  if (data.runs.length > 1) box.append(make("h2", name));
  if (!play) { box.append(make("p", "not played", "note")); return box; }
  const verdict = make("p", `${play.verdict}${play.score === null ? "" : ", score " + play.score.toFixed(2)}`, play.verdict === "correct" ? "right" : "wrong");
  box.append(verdict);
  box.append(make("p", `${play.tags.join(", ")} · answer ${JSON.stringify(play.answer)} · ${play.grader} · ended by ${play.stop} · ${play.tokens} tokens · ${play.seconds.toFixed(1)} s`, "note"));
  if (play.error) box.append(make("p", play.error, "warning"));
  if (play.entropies.length) box.append(make("h3", `step entropy, highest ${Math.max(...play.entropies).toFixed(2)} nats a token`), bars(play.entropies));
  if (play.reasoning) box.append(make("h3", "reasoning"), marked(play.reasoning));
  if (play.turns.length) {
    const asks = make("pre");
    for (const turn of play.turns) {
      asks.append(make("span", turn.ask, "ask"), "\n", make("span", turn.response, "reply"));
      asks.append(make("span", `\n(${turn.kind}; told ${turn.disclosed.join(", ") || "nothing"})\n`, "note"));
    }
    box.append(make("h3", "asks"), asks);
  }
  box.append(make("h3", "reply"), make("pre", play.final));
  return box;
}

function marked(text) {
  const pre = make("pre");
  for (const part of text.split(/(<asking>[^]*?<\/asking>|<response>[^]*?<\/response>)/)) {
    pre.append(make("span", part, part.startsWith("<asking>") ? "ask" : part.startsWith("<response>") ? "reply" : ""));
  }
  return pre;
}

function bars(values) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${values.length} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  const most = Math.max(...values, 1e-9);
  values.forEach((value, k) => {
    const bar = document.createElementNS(space, "rect");
    for (const [name, at] of Object.entries({ x: k + 0.1, y: 1 - value / most, width: 0.8, height: value / most, fill: "#2563eb" })) bar.setAttribute(name, at);
    svg.append(bar);
  });
  return svg;
}

function choices(id, label, values) {
  el(id).append(new Option(label, ""), ...[...new Set(values)].sort().map((value) => new Option(value, value)));
  el(id).onchange = filter;
}

el("title").textContent = data.runs.join("  |  ");
document.title = data.runs.join(" | ");
el("warnings").textContent = data.warnings.join("; ");
choices("task", "all tasks", data.rows.map((row) => row.task));
choices("condition", "all conditions", data.items.map((item) => item.condition));
choices("group", "all families", data.rows.map((row) => row.group));
for (const tag of data.tags) {
  const button = make("button", tag);
  button.setAttribute("aria-pressed", "false");
  button.onclick = () => {
    chosen.has(tag) ? chosen.delete(tag) : chosen.add(tag);
    button.setAttribute("aria-pressed", String(chosen.has(tag)));
    current = -1;
    filter();
  };
  el("tags").append(button);
}
el("search").oninput = () => { current = -1; filter(); };
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") open(current + 1);
  if (event.key === "k") open(current - 1);
});
filter();
const wanted = decodeURIComponent(location.hash.slice(1));
if (wanted) open(shown.findIndex((item) => item.id === wanted));
