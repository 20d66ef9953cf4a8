"use strict";
// Draws the episodes of the page's data. Every text becomes a text node: nothing of the data is ever parsed as HTML.

const { tasks, about } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = $("words").namespaceURI;
const PAD = 18, ROW = 27, BAR = 15, NARROW = 620, WORDS = 132;
const PART = { think: "--think", tool_call: "--tool-call", pause: "--pause", answer: "--answer", other: "--other" };
const LEGEND = [
  ["thinks", "--think"], ["writes a call", "--tool-call"], ["pauses", "--pause"], ["answers", "--answer"], ["cut by news", "--cut"],
  ["call held", "held"], ["call runs", "--running"], ["result not used", "--void"], ["taken back by the speaker", "--slip"],
  ["after the last word", "--wait"],
];
const WHO = {
  partial_query_update: "hears", final_query_update: "end of it", tool_result: "result", tool_error: "failure", cancel: "void", unheard: "unheard",
  error: "refused", think_interrupted: "cut off", tool_call_interrupted: "cut off", answer_interrupted: "cut off", model: "writes", out: "answers", said: "",
};
const SLIPS = new Set(["reparandum", "interregnum"]);

let task = null, shown = [null, null], t = 0, from = 0, to = 1, playing = null, follow = [], uttered = [], kept = [], fits = () => true;

const secs = (x) => x.toFixed(2) + " s";
const talk = () => shown.find((episode) => episode && episode.turns);  // a conversation has words and turns of its own
const MIN_PER_S = 26;  // of a conversation, which is long: below that the lanes are moved sideways
const narrow = () => $("plot").clientWidth < NARROW;
const gutter = () => (narrow() ? 66 : 102);
const width = () => Math.max(240, $("plot").clientWidth - 2, talk() ? gutter() + PAD + Math.ceil((to - from) * MIN_PER_S) : 0);
const x = (s) => gutter() + ((s - from) / (to - from)) * (width() - gutter() - PAD);
const when = (left) => from + ((left - gutter()) * (to - from)) / (width() - gutter() - PAD);  // the other way round

function node(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function html(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// ---- the results

function writeResults() {
  $("results").hidden = !about;
  if (!about) return;
  $("name").textContent = document.title = "midsentence: " + about.name;
  $("runs").replaceChildren(...about.runs.map((run) => html("li", "", run.join(" · "))));
  const grids = about.grids.map(table), causes = grids.filter((one, n) => about.grids[n].heads[0] === "label");
  $("grids").replaceChildren(...grids.filter((one) => !causes.includes(one)));
  if (causes.length) $("grids").append(html("details", "causes", html("summary", "", "What went wrong, by mode and by how it was said"), ...causes));
  $("note").textContent = about.note;
  const counts = about.tasks.map(([source, split, n]) => {
    const here = new Set(tasks.filter((one) => one.source === source && one.split === split).map((one) => one.of)).size;
    return here + " of " + n + " of " + source + ", " + split;
  });
  $("held").textContent = "This page holds " + counts.join("; ") + ": what went wrong before others. The table counts all.";
}

function table(grid) {
  const mode = grid.heads.indexOf("mode");
  const look = (n) => (n < grid.left ? "left" : "") + (n === mode ? " mode" : "");
  const cell = (text, n) => {
    const [figure, more] = text.split(" [");
    return html("td", look(n), figure, ...(more ? [html("span", "more", " [" + more)] : []));
  };
  return html("div", "grid", html("table", "", html("caption", "", grid.title),
    html("thead", "", html("tr", "", ...grid.heads.map((head, n) => html("th", look(n), head)))),
    html("tbody", "", ...grid.rows.map((row) => html("tr", "", ...row.map(cell))))));
}

// ---- what is chosen

const label = (episode) => [episode.backend, episode.mode, episode.profile].join(" · ") + (episode.seed ? " · seed " + episode.seed : "");

function fillFilter() {
  const wrong = tasks.flatMap((one) => one.episodes.filter((e) => !e.right));
  const having = (test) => tasks.filter((one) => one.episodes.some(test)).length;
  const add = (value, text, test) => $("filter").append(new Option(text + " (" + having(test) + ")", value));
  add("", "all", () => true);
  if (wrong.length) add("wrong", "went wrong", (e) => !e.right);
  for (const mode of [...new Set(wrong.map((e) => e.mode))]) add("in " + mode, "wrong in " + mode, (e) => !e.right && e.mode === mode);
  for (const cause of [...new Set(wrong.map((e) => e.cause))].sort()) add("by " + cause, cause, (e) => !e.right && e.cause === cause);
}

function filter(value) {
  const names = [...$("filter").options].map((option) => option.value);
  $("filter").value = names.includes(value) ? value : "";
  const chosen = $("filter").value, name = chosen.slice(3);
  fits = { "": () => true, wrong: (e) => !e.right }[chosen] ?? (chosen.startsWith("in ") ? (e) => !e.right && e.mode === name : (e) => !e.right && e.cause === name);
  kept = tasks.flatMap((one, n) => (one.episodes.some(fits) ? [n] : []));
  fillTasks();
}

function fillTasks() {
  $("task").replaceChildren();
  kept.forEach((n) => {
    const one = tasks[n];
    const wrong = one.episodes.filter((e) => !e.right).length;
    const said = one.words.map((word) => word[0]).join(" ");
    const text = one.source + " " + one.task + (wrong ? " (" + wrong + " of " + one.episodes.length + " wrong)" : "") + ": " + said;
    $("task").append(new Option(text.length > 150 ? text.slice(0, 149) + "…" : text, n));
  });
}

function fillLegend() {
  for (const [name, look] of LEGEND) {
    const mark = html("i");
    mark.style.background = look === "held" ? "repeating-linear-gradient(135deg, var(--running) 0 1.5px, var(--held) 1.5px 5px)" : "var(" + look + ")";
    $("legend").append(html("li", "", mark, name));
  }
}

function choose(n, wanted = [], at = null) {
  task = tasks[n];
  $("task").value = n;
  const best = (mode) => task.episodes.findIndex((e) => e.mode === mode);
  const same = (place, mode) => {
    const now = wanted[place] !== undefined ? wanted[place] : shown[place] && label(shown[place]);
    if (now === "") return -1;
    const found = task.episodes.findIndex((e) => label(e) === now);
    return found >= 0 ? found : best(mode) >= 0 ? best(mode) : 0;
  };
  const places = [same(0, "sequential"), same(1, "speculative")];
  if (!places.some((n) => n >= 0 && fits(task.episodes[n]))) places[1] = task.episodes.findIndex(fits);
  if (places[1] === places[0]) {  // nothing is compared with itself
    places[1] = wanted[1] === undefined && task.episodes.length > 1 ? (places[0] + 1) % task.episodes.length : -1;
    if (places[1] >= 0 && places[1] < places[0]) places.reverse();
  }
  ["one", "two"].forEach((name, place) => {
    const options = task.episodes.map((e, i) => new Option(label(e) + (e.right ? "" : " (wrong)"), i));
    $(name).replaceChildren(...(place ? [new Option("nothing", -1)] : []), ...options);
    $(name).value = places[place];
  });
  compare(at);
}

function compare(at = null) {
  shown = ["one", "two"].map((name) => task.episodes[$(name).value] || null);
  const ends = shown.filter(Boolean).map((e) => e.end_s);
  from = -0.1;
  to = Math.max(task.speech_end_s, ...ends) * 1.03 + 0.15;
  $("time").max = (to - 0.05).toFixed(2);
  $("second").hidden = $("second-text").hidden = !shown[1];
  $("all-words").hidden = Boolean(talk());
  writeRequest();
  ["one", "two"].forEach((name, place) => shown[place] && writeTexts(name, shown[place]));
  draw();
  move(at === null ? (shown[0] ? shown[0].end_s : to) : at);
}

// What is said, a line for each turn; the words in order are kept for `move`.
function writeRequest() {
  const turns = talk() ? talk().turns : [];
  let turn = 0;
  uttered = [];
  const parts = [];
  for (const [text, start, , kind] of talk() ? talk().words : task.words) {
    if (turn < turns.length && start >= turns[turn].start_s - 1e-6) {
      parts.push(...(turn ? [html("br")] : []), html("small", turns[turn].right ? "kind" : "kind wrong", turns[turn].kind.replaceAll("_", " ")), " ");
      turn += 1;
    }
    const span = html("span", SLIPS.has(kind) ? "slip" : "", text);
    uttered.push([start, span]);
    parts.push(span, " ");
  }
  $("request").replaceChildren(...parts);
}

// ---- the lanes

function draw() {
  follow = [];
  const wide = width() > $("plot").clientWidth;
  $("plot").classList.toggle("wide", wide);
  for (const part of document.querySelectorAll("#plot > *")) part.style.width = wide ? width() + 2 + "px" : "";
  for (const which of ["one", "two"]) $("title-" + which).style.maxWidth = wide ? $("plot").clientWidth - 4 + "px" : "";
  if (!talk()) drawWords(sheet($("words"), WORDS, "The user says: " + task.words.map((word) => word[0]).join(" ")), task.words, WORDS);
  ["one", "two"].forEach((name, place) => shown[place] && drawLanes(name, shown[place], place && shown[0]));
  const range = $("time").style;
  range.marginLeft = x(0) - 12 - 36 - 8 + "px";  // the knob of a range is about 16 px wide
  range.marginRight = Math.max(0, width() - x(to - 0.05) - 8) + "px";
  move(t);
  settle();
}

function sheet(svg, height, about) {
  svg.setAttribute("viewBox", "0 0 " + width() + " " + height);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-label", about);
  svg.replaceChildren();
  svg.append(node("rect", { width: width(), height, fill: "var(--paper)" }));  // so that dragging begins anywhere
  return svg;
}

function ticks(svg, top, bottom, numbers) {
  const room = (width() - gutter() - PAD) / (to - from);
  const step = [1, 2, 5, 10, 20, 60].find((step) => step * room >= 34) ?? 120;
  for (let s = 0; s <= to; s += step) {
    svg.append(node("line", { x1: x(s), x2: x(s), y1: top, y2: bottom, stroke: "var(--line)", "stroke-width": 0.6 }));
    if (numbers) svg.append(node("text", { x: x(s), y: bottom + 15, "text-anchor": "middle", fill: "var(--soft)", "font-size": 11 }, String(s)));
  }
}

function lastWord(svg, before, at, top, bottom) {
  svg.insertBefore(node("line", { x1: x(at), x2: x(at), y1: top, y2: bottom, stroke: "var(--soft)", "stroke-dasharray": "4 3" }), before);
}

// The end of speech: a dashed line from top to bottom, interrupted where a text lies across it.
function endOfSpeech(svg, before, top, bottom, crossed) {
  const said = x(task.speech_end_s), gaps = [...crossed].sort((a, b) => a - b);
  let from_y = top;
  for (const y of [...gaps, bottom + ROW / 2]) {
    const line = { x1: said, x2: said, y1: from_y, y2: Math.min(bottom, y - ROW / 2), stroke: "var(--soft)", "stroke-dasharray": "4 3" };
    if (line.y2 > from_y) svg.insertBefore(node("line", line), before);
    from_y = y + ROW / 2;
  }
}

function cursor(svg, height) {
  const line = node("line", { y1: 0, y2: height, stroke: "var(--ink)", "stroke-width": 1.4, opacity: 0.75 });
  svg.append(line);
  follow.push(line);
  if (svg.querySelector("g.names")) svg.append(svg.querySelector("g.names"));
}

// Names of lanes stay at the left where lanes are moved sideways.
function name(svg, y, text) {
  let group = svg.querySelector("g.names");
  if (!group) svg.append(group = node("g", { class: "names" }, node("rect", { x: -3, width: gutter() - 3, height: svg.getAttribute("height"), fill: "var(--paper)" })));
  group.append(node("text", { x: gutter() - (narrow() ? 8 : 12), y: y + 4, "text-anchor": "end", fill: "var(--ink)" }, text));
}

function settle() {
  const left = $("plot").scrollLeft;
  for (const group of document.querySelectorAll("g.names")) group.setAttribute("transform", "translate(" + left + " 0)");
  if (left || $("now").style.left) $("now").style.left = 53 + left + "px";
}

function bar(svg, start, end, y, fill, about, more = {}) {
  const rect = node("rect", { x: x(start), y: y - BAR / 2, width: Math.max(1, x(end) - x(start)), height: BAR, fill, ...more });
  if (about) rect.append(node("title", {}, about));
  svg.append(rect);
}

function drawWords(svg, words, height) {
  const y = height - 26;
  ticks(svg, y - 14, height, false);
  name(svg, y, "user says");
  if (!talk()) endOfSpeech(svg, null, y - BAR / 2, height, []);  // from the words down: their texts stand above
  const texts = [], upright = narrow() && !talk(), apart = upright ? 11 : 13;
  let free = -Infinity;
  for (const [text, start, end, kind] of words) {
    bar(svg, start, Math.max(start, end - 0.012), y, SLIPS.has(kind) ? "var(--slip)" : "var(--word)", text + ", " + secs(start) + " to " + secs(end) + ", " + kind, { rx: 1.5 });
    const left = Math.max(x(start) + (upright ? 8 : 6), free);
    if (left > x(start) + (upright ? 16 : 30)) continue;  // crowded: the request above the lanes has it
    free = left + apart;
    const made = node("text", { fill: "var(--ink)", "font-size": upright ? 10.5 : 11.5 }, text);
    svg.append(made);
    for (let cut = text; made.getComputedTextLength() > y - 20 && cut.length > 2;) made.textContent = (cut = cut.slice(0, -1)) + "…";
    texts.push([left, made]);
  }
  // all at one angle, so steep that none is cut off at the right
  const room = (left) => Math.max(0, width() - 4 - left);
  const angles = texts.map(([left, made]) => (Math.acos(Math.min(1, room(left) / Math.max(1, made.getComputedTextLength()))) * 180) / Math.PI);
  const angle = upright ? 90 : Math.max(50, ...angles);
  for (const [left, made] of texts) made.setAttribute("transform", "translate(" + left + " " + (y - 13) + ") rotate(-" + angle + ")");
  if (!talk()) cursor(svg, height);
}

// A text as far as there is room for it.
function fitting(made, text, room) {
  let cut = text;
  while (cut.length > 3 && made.getComputedTextLength() > room) {
    cut = cut.slice(0, Math.min(cut.length - 1, Math.floor((cut.length * room) / made.getComputedTextLength())));
    made.textContent = cut + "…";
  }
}

// A text beside a bar: on a side where it fits this side of the end of speech, or else on the one that has more room; whether it crosses.
function beside(svg, text, start, end, y) {
  const made = node("text", { y: y + 4, fill: "var(--ink)" }, text);
  svg.append(made);
  const edge = width() - PAD, said = talk() ? edge : x(task.speech_end_s), whole = made.getComputedTextLength();
  const rooms = [edge - x(end) - 7, x(start) - gutter() - 7];
  const clear = [(x(end) < said ? said : edge) - x(end) - 11, x(start) - (x(start) > said ? said : gutter()) - 11];
  const right = clear[0] >= whole || (clear[1] < whole && rooms[0] >= Math.min(rooms[1], whole));
  const room = right ? rooms[0] : rooms[1];
  fitting(made, text, room);
  const left = right ? x(end) + 7 : x(start) - 7 - made.getComputedTextLength();
  made.setAttribute("x", left);
  made.append(node("title", {}, text));
  return left < said && said < left + made.getComputedTextLength();
}

function drawLanes(which, episode, base) {
  const lanes = 3 + episode.calls.length, top = episode.turns ? WORDS : 12, bottom = top + lanes * ROW, height = bottom + 22;
  const title = $("title-" + which), facts = html("small", "");
  const times = base && base.right && episode.right && mean_s(episode) > 0 ? mean_s(base) / mean_s(episode) : 0;
  const verdict = html("small", episode.right ? "right" : "wrong", episode.right ? "✓ right" : "✗ " + (episode.cause || "wrong") + (episode.why ? ": " + episode.why : ""));
  const many = episode.turns ? episode.turns.length + " turns, on average " : "";
  const late = episode.outcome === "answered" ? many + "answer " + secs(mean_s(episode)) + " after the last word" : "no answer (" + episode.outcome + ")";
  const best = episode.turns ? mean(episode.turns, "floor_s") : episode.floor_s;
  facts.append(late + (times ? ", " + times.toFixed(2).replace(/0$/, "") + " times as fast" : "") + (best === null ? "" : "; at best " + secs(best)));
  title.replaceChildren(episode.mode, verdict, facts, html("small", "", episode.backend + ", " + episode.profile));
  const svg = sheet($("lanes-" + which), height, label(episode) + ": " + late + ", " + episode.calls.length + " calls");
  const y = (lane) => top + (lane + 0.5) * ROW;
  const said = episode.turns ? episode.speech_end_s : task.speech_end_s;
  const waits = episode.turns ? episode.turns.map((turn) => [turn.said_s, turn.said_s + turn.latency_s]) : [[said, episode.end_s]];
  for (const [start, end] of waits) svg.append(node("rect", { x: x(start), y: top, width: Math.max(0, x(end) - x(start)), height: bottom - top, fill: "var(--wait)" }));
  if (episode.turns) drawWords(svg, episode.words, WORDS);
  ticks(svg, top, bottom, true);
  const above = svg.appendChild(node("g", {})), crossed = new Set();
  const pattern = "held-" + which;
  svg.append(node("defs", {}, node("pattern", { id: pattern, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    node("rect", { width: 6, height: 6, fill: "var(--held)" }), node("rect", { width: 1.6, height: 6, fill: "var(--running)" }))));

  name(svg, y(0), "is heard");
  for (const [at, final, text] of episode.updates) {
    const mark = final
      ? node("path", { d: "M" + x(at) + " " + (y(0) - 6) + "l6 6l-6 6l-6 -6z", fill: "var(--ink)" })
      : node("circle", { cx: x(at), cy: y(0), r: 3.6, fill: "var(--update)" });
    mark.append(node("title", {}, secs(at) + (final ? ", end of speech: " : ": ") + text));
    svg.append(mark);
    if (final && !episode.turns && at === episode.updates[episode.updates.length - 1][0]) {
      const note = node("text", { x: x(at) + 11, y: y(0) + 4, fill: "var(--soft)", "font-size": 11 }, "end of speech noticed");
      svg.append(note);
      if (x(at) + 11 + note.getComputedTextLength() > width()) note.textContent = "end noticed";
      if (x(at) + 11 + note.getComputedTextLength() > width()) note.remove();  // what the diamond is, its title says
    }
  }

  name(svg, y(1), "model");
  for (const span of episode.spans) {
    for (const [start, end, part, text] of span.pieces) bar(svg, start, end, y(1), "var(" + PART[part] + ")", secs(start) + ": " + text);
    if (span.ended === "cut" || span.ended === "error") {
      const about = span.ended === "cut" ? "cut by news" : "refused";
      svg.append(node("line", { x1: x(span.end_s), x2: x(span.end_s), y1: y(1) - 11, y2: y(1) + 11, stroke: "var(--cut)", "stroke-width": 2.2 }, node("title", {}, about + " at " + secs(span.end_s))));
    }
  }

  episode.calls.forEach((call, n) => {
    const row = y(2 + n);
    name(svg, row, "call " + call.id);
    let first = Infinity, last = -Infinity, text = "";
    for (const [state, start, end] of call.stays) {
      if (state === "held") bar(svg, start, end, row, "url(#" + pattern + ")", "held " + secs(start) + " to " + secs(end));
      else if (state === "blocked" || state === "ready") svg.append(node("line", { x1: x(start), x2: x(end), y1: row, y2: row, stroke: "var(--soft)", "stroke-dasharray": "1 3", "stroke-width": 1.4 }, node("title", {}, state + " " + secs(start) + " to " + secs(end))));
      else continue;
      first = Math.min(first, start);
      last = Math.max(last, end);
    }
    for (const run of call.runs) {
      const outcome = run.ended + (run.result === null ? "" : ": " + run.result);
      bar(svg, run.start_s, run.end_s, row, run.used ? "var(--running)" : "var(--void)", run.text + "\n" + secs(run.start_s) + " to " + secs(run.end_s) + ", " + outcome, { rx: 1.5 });
      first = Math.min(first, run.start_s);
      last = Math.max(last, run.end_s);
      text = run.text;
    }
    const never = !text && call.stays.length;
    if (never && !isFinite(first)) first = last = call.stays[0][1];
    if (never) text = "never ran: " + call.stays[call.stays.length - 1][0];
    if (text && beside(svg, text, first, last, row)) crossed.add(row);
  });

  const row = y(lanes - 1);
  name(svg, row, "user gets");
  for (const [start, end, cut, text] of episode.spoken ?? []) {
    bar(svg, start, end, row, "var(--answer)", "said: “" + text + "”" + (cut ? "\nthe user spoke into it" : ""), { opacity: 0.4 });
    if (cut) bar(svg, end - 0.04, end, row, "var(--cut)", "cut by the user");
  }
  if (episode.turns) drawAnswers(svg, episode, row);
  else for (const [at, text] of episode.emits.slice(-1)) {
    svg.append(node("line", { x1: x(said), x2: x(at), y1: row, y2: row, stroke: "var(--ink)", "stroke-width": 1.2 }));
    svg.append(node("circle", { cx: x(at), cy: row, r: 5.5, fill: "var(--answer)" }, node("title", {}, text)));
    const chip = node("text", { x: (x(said) + x(at)) / 2, y: row + 4.5, "text-anchor": "middle", fill: "var(--ink)", "font-weight": 700 }, secs(episode.latency_s));
    svg.append(chip);
    const wide = chip.getComputedTextLength() + 10;
    if (wide > x(at) - x(said) - 12) chip.setAttribute("x", x(said) - wide / 2 - 2);
    else chip.before(node("rect", { x: (x(said) + x(at) - wide) / 2, y: row - 9, width: wide, height: 18, fill: "var(--wait)" }));
    const before = Math.min(x(said), Number(chip.getAttribute("x")) - wide / 2);
    if (beside(svg, "“" + text + "”", when(before), at + 0.08, row)) crossed.add(row);
  }
  if (episode.turns) for (const [start] of waits) lastWord(svg, above, start, top - 26 - BAR / 2, bottom);
  else endOfSpeech(svg, above, top, bottom, crossed);
  cursor(svg, bottom);
}

// Of a conversation: each answer over its bar, as far as there is room before the next one, and how late it was.
function drawAnswers(svg, episode, row) {
  const starts = [...episode.spoken.map(([start]) => start), to];
  episode.spoken.forEach(([start, , , text], n) => {
    const turn = episode.turns.findLast((one) => one.start_s <= start);
    const late = node("text", { x: x(start) - 4, y: row + 4, "text-anchor": "end", fill: "var(--ink)", "font-weight": 700, "font-size": 11 },
      turn && turn.answered && Math.abs(turn.said_s + turn.latency_s - start) < 0.005 ? turn.latency_s.toFixed(2) + " s" : "");
    const made = node("text", { x: x(start) + 4, y: row + 4, fill: "var(--ink)" }, text);
    svg.append(late, made);
    fitting(made, text, x(starts[n + 1]) - x(start) - 8 - (n + 1 < episode.spoken.length ? 48 : 0));
    made.append(node("title", {}, text));
  });
}

const mean = (all, what) => all.reduce((sum, one) => sum + one[what], 0) / Math.max(1, all.length);
const mean_s = (episode) => episode.turns ? mean(episode.turns, "latency_s") : episode.latency_s;

// ---- the transcripts

function writeTexts(which, episode) {
  $("name-" + which).replaceChildren(label(episode));
  const rows = [];
  for (const [at, told, text] of episode.told) {
    const kind = told === "cancel" && text.startsWith("your answer") ? "unheard" : told;
    rows.push({ at, kind, parts: [[at, at, kind === "error" || kind === "tool_error" ? "bad" : "", text]] });
  }
  for (const span of episode.spans) {
    const parts = span.pieces.map((piece) => [...piece]);
    if (span.ended === "cut") parts.push([span.end_s, span.end_s, "cut", " ✂ cut"]);
    rows.push({ at: span.start_s, kind: "model", parts });
  }
  for (const [at, text] of episode.emits) rows.push({ at, kind: "out", parts: [[at, at, "answer", text]] });
  rows.sort((a, b) => a.at - b.at);
  const list = $("text-" + which);
  list.setAttribute("aria-label", "Transcript of " + label(episode));
  list.replaceChildren(...rows.map((row) => {
    const text = html("span", "text", ...row.parts.map((part) => html("span", part[2])));
    const item = html("li", row.kind === "model" ? "model" : "", html("time", "", row.at.toFixed(2)), html("b", "", WHO[row.kind] ?? row.kind), text);
    item.update = () => {
      item.hidden = row.at > t;
      row.parts.forEach(([start, end, , whole], n) => {
        const share = end > start ? Math.min(1, Math.max(0, (t - start) / (end - start))) : t >= start ? 1 : 0;
        const now = whole.slice(0, Math.floor(share * whole.length + 1e-9)), place = text.children[n];
        if (place.textContent !== now) place.textContent = now;
      });
      return !item.hidden;
    };
    return item;
  }));
}

// ---- time

function move(to_s) {
  t = Math.min(Math.max(0, to_s), Number($("time").max));
  $("time").value = t;
  $("time").setAttribute("aria-valuetext", secs(t));
  $("now").textContent = secs(t);
  for (const line of follow) { line.setAttribute("x1", x(t)); line.setAttribute("x2", x(t)); }
  for (const [start, span] of uttered) span.classList.toggle("said", start <= t);
  if ($("plot").classList.contains("wide")) {  // what happens now stays in sight
    const room = $("plot").clientWidth, at = x(t);
    if (at < $("plot").scrollLeft + gutter() || at > $("plot").scrollLeft + room - 24) $("plot").scrollLeft = at - room * 0.6;
  }
  for (const which of ["one", "two"]) {
    let last = null;
    for (const item of $("text-" + which).children) if (item.update()) last = item;
    if (last) $("text-" + which).scrollTop = last.offsetTop + last.offsetHeight - $("text-" + which).offsetTop - $("text-" + which).clientHeight + 8;
  }
}

function keep() {
  const parts = new URLSearchParams({ task: task.task, above: label(shown[0]), below: shown[1] ? label(shown[1]) : "", t: t.toFixed(2) });
  if ($("filter").value) parts.set("show", $("filter").value);
  const theme = document.documentElement.dataset.choice;
  if (theme !== "auto") parts.set("theme", theme);
  try { history.replaceState(null, "", "#" + parts); } catch (error) { /* some browsers forbid it for files */ }
}

function play() {
  if (playing !== null) { cancelAnimationFrame(playing); playing = null; }
  else {
    if (t >= Number($("time").max) - 0.02) move(0);
    let before = null;
    const frame = (now_ms) => {
      if (before !== null) move(t + (now_ms - before) / 1000);
      before = now_ms;
      if (t >= Number($("time").max) - 0.001) { playing = null; paint(); keep(); return; }
      playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
  }
  paint();
}

function paint() {
  $("play").textContent = playing === null ? "▶" : "❚❚";
  $("play").setAttribute("aria-label", playing === null ? "Play" : "Pause");
}

function colours(choice) {
  const dark = choice === "dark" || (choice === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.choice = choice;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  $("theme").textContent = "◐ " + choice;
  $("theme").setAttribute("aria-label", "Colours: " + (choice === "auto" ? "as the system" : choice));
}

function begin() {
  const asked = new URLSearchParams(location.hash.slice(1));
  colours(["light", "dark"].includes(asked.get("theme")) ? asked.get("theme") : "auto");
  writeResults();
  if (!tasks.length) { $("request").textContent = "This report holds no episodes."; return; }
  fillFilter();
  fillLegend();
  filter(asked.get("show") ?? "");
  const found = kept.find((n) => tasks[n].task === asked.get("task")) ?? kept[0];
  const at = asked.has("t") && isFinite(asked.get("t")) ? Number(asked.get("t")) : null;
  choose(found, [asked.get("above") ?? undefined, asked.get("below") ?? undefined], at);
  $("task").addEventListener("change", () => { choose(Number($("task").value)); keep(); });
  $("filter").addEventListener("change", () => { filter($("filter").value); choose(kept[0]); keep(); });
  const step = (by) => { choose(kept[(kept.indexOf(Number($("task").value)) + by + kept.length) % kept.length]); keep(); };
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  for (const which of ["one", "two"]) $(which).addEventListener("change", () => { compare(t); keep(); });
  $("time").addEventListener("input", () => move(Number($("time").value)));
  $("time").addEventListener("change", keep);
  $("time").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1 }[event.key];
    if (by) { event.preventDefault(); move(t + by); keep(); }
  });
  $("play").addEventListener("click", play);
  $("theme").addEventListener("click", () => { colours({ auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.choice]); keep(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours(document.documentElement.dataset.choice));
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && !["BUTTON", "SELECT"].includes(event.target.tagName)) { event.preventDefault(); play(); }
  });
  const drag = (event) => {
    if ($("plot").classList.contains("wide") && event.pointerType === "touch") return;  // a finger moves the lanes
    move(when(event.clientX - $("plot").getBoundingClientRect().left - 1 + $("plot").scrollLeft));
  };
  for (const svg of document.querySelectorAll("svg")) {
    svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
    svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) drag(event); });
    svg.addEventListener("pointerup", keep);
  }
  $("plot").addEventListener("scroll", settle);
  new ResizeObserver(() => draw()).observe($("plot"));
}

begin();
