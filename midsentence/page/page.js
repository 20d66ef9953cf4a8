// One module with the other scripts, in the order of `midsentence.page.server`.
// What has happened, turn by turn, and its texts. Every text becomes a text node: nothing that was heard, written or returned is parsed as HTML.

const $ = (id) => document.getElementById(id);
const secs = (x) => x.toFixed(2) + " s";

function html(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

let turns = new Map(), shown = 0, latest = 0, base = Infinity, due = false;
// base: this page's clock less the session's, at the least seen: what was told at once came at once

function clear() {
  turns = new Map();
  shown = latest = 0;
  base = Infinity;
  $("answer").textContent = $("answer-beside").textContent = "";
  draw();
}

const side = () => ({ spans: [], calls: new Map(), says: [], answer: null, latency: null, refused: [], failed: "" });

function turn(n) {
  if (!turns.has(n)) turns.set(n, { n, words: [], ends: [], from: null, last: 0, main: side(), beside: null, hushed: false });
  return turns.get(n);
}

const now = () => (base === Infinity ? 0 : performance.now() / 1000 - base);

function take(message) {
  if (message.kind === "ready" || message.kind === "over") return draw();
  if (!message.beside) base = Math.min(base, performance.now() / 1000 - message.at);
  const one = turn(message.turn);
  if (message.beside) {
    if (message.kind === "began" || !one.beside) one.beside = side();
    if (message.kind === "failed") one.beside.failed = message.text;
    note(one.beside, message);
  } else if (message.kind === "heard") {
    heard(one, message);
  } else if (message.kind === "predicted") {
    one.ends.push({ at: message.at, predicted: true });
  } else if (message.kind === "hush") {
    one.hushed = true;
  } else {
    note(one.main, message);
  }
  draw();
}

function heard(one, message) {
  if (one.from === null) one.from = message.at;
  let back = message.retracts;
  for (let n = one.words.length - 1; n >= 0 && back > 0; n--) {
    if (one.words[n].gone) continue;
    one.words[n].gone = true;
    back--;
  }
  const words = message.text.split(/\s+/).filter(Boolean);
  words.forEach((text) => one.words.push({ text, at: message.at, gone: false }));
  if (words.length || message.retracts) one.last = message.at;
  if (message.final) one.ends.push({ at: message.at, predicted: false });
  if (one.n > latest) shown = latest = one.n;
}

function note(own, message) {
  const at = message.at, span = own.spans[own.spans.length - 1], say = own.says[own.says.length - 1];
  if (message.kind === "span") own.spans.push({ start: at, end: null, ended: "", pieces: [] });
  if (message.kind === "stopped" && span) Object.assign(span, { end: at, ended: message.ended });
  if (message.kind === "wrote" && span) {
    const last = span.pieces[span.pieces.length - 1], start = last ? last.end : span.start;
    if (last && last.part === message.part) Object.assign(last, { end: at, text: last.text + message.text });
    else span.pieces.push({ part: message.part, text: message.text, start, end: at });
  }
  if (message.kind === "refused") own.refused.push({ at, text: message.text });
  if (message.kind === "call") {
    const call = own.calls.get(message.call) || { stays: [] }, stay = call.stays[call.stays.length - 1];
    if (!stay || stay.state !== message.state || stay.version !== message.version) {
      if (stay) stay.end = at;
      call.stays.push({ state: message.state, version: message.version, start: at, end: null });
    }
    own.calls.set(message.call, Object.assign(call, message));
  }
  if (message.kind === "say") {
    if (message.withdrawn) { if (say) say.withdrawn = true; }
    else if (say && !say.last && !say.withdrawn) Object.assign(say, { text: say.text + message.text, last: message.last });
    else own.says.push({ at, text: message.text, last: message.last, withdrawn: false });
  }
  if (message.kind === "answered") Object.assign(own, { answer: message.text, latency: message.latency, answeredAt: at });
}

function look(step) {
  const there = [...turns.keys()].sort((a, b) => a - b), n = there.indexOf(shown) + step;
  if (there[n] !== undefined) shown = there[n];
  draw();
}

// Draws ten times a second at the most, and goes on while anything is under way: the model may need this processor, too.
function draw() {
  if (due) return;
  due = true;
  setTimeout(() => requestAnimationFrame(() => {
    due = false;
    const one = turns.get(shown);
    write(one);
    lanes(one);
    if (one && one.n === latest && line.ready && moves(one)) draw();
  }), 100);
}

const moves = (one) => one.main.answer === null || one.beside && one.beside.answer === null && !one.beside.failed;

function write(one) {
  const there = [...turns.keys()].sort((a, b) => a - b);
  $("before").disabled = there.indexOf(shown) <= 0;
  $("after").disabled = there.indexOf(shown) >= there.length - 1;
  $("title").textContent = there.length > 1 ? "Request " + (there.indexOf(shown) + 1) + " of " + there.length : "This request";
  writeHeard(one);
  writeAnswer($("answer"), one && one.main);
  writeFigure(one);
  writeBeside(one);
  writeCalls(one);
  writeModel(one);
  writePast(there);
}

// Texts change only where they differ, so that what reads the page aloud says each once.
function set(place, ...children) {
  const made = place.cloneNode(false);
  made.append(...children);
  if (!place.isEqualNode(made)) place.replaceChildren(...made.childNodes);
}

function writeHeard(one) {
  const parts = one ? one.words.flatMap((word) => [word.gone ? html("s", "", word.text) : word.text, " "]) : [html("span", "end", "Nothing has been said yet.")];
  const ends = one && one.ends[one.ends.length - 1];
  if (ends && ends.at >= one.last) parts.push(html("span", "end", ends.predicted ? "(seems to be all)" : "⏎"));
  set($("heard"), ...parts);
}

function writeAnswer(place, own) {
  const say = own && own.says[own.says.length - 1];
  set(place, ...(say && say.text ? [say.withdrawn ? html("s", "", say.text) : "“" + say.text + (say.last ? "”" : "…")] : []));
}

function writeFigure(one) {
  const parts = [];
  if (one && one.main.latency !== null) {
    parts.push(html("b", "", secs(one.main.latency)), " after your last word");
    const other = one.beside;
    if (other && other.latency !== null) {
      parts.push(html("span", "soft", " · "), html("b", "", secs(other.latency)), " in " + baseline(), html("span", "soft", " · "), compared(one.main.latency, other.latency));
    } else if (other && other.failed) parts.push(html("span", "soft", " · " + baseline() + " was not compared: " + other.failed));
    else if ($("compare").checked && !$("compare").disabled && one.n === latest) parts.push(html("span", "soft", " · " + baseline() + (other ? " is at it …" : " comes next …")));
  } else if (one && one.main.hushed) parts.push("cut off");
  set($("figure"), ...parts);
}

function compared(own, other) {
  const times = Math.max(own, other) / Math.max(0.001, Math.min(own, other));
  return times < 1.05 ? "as fast" : times.toFixed(1) + (own < other ? " × as fast" : " × as slow");
}

const baseline = () => document.querySelector(".baseline").textContent;

function writeBeside(one) {
  const other = one && one.beside;
  $("beside").hidden = !other || Boolean(other.failed);
  writeAnswer($("answer-beside"), other);
}

const SAYS = { blocked: "not yet", ready: "ready", held: "held", running: "runs", done: "done", failed: "failed", cancelled: "cancelled", skipped: "skipped", unknown: "unknown", gone: "thrown away" };
const ACCESS = { read: "read", egress: "leaves the machine", write: "changes something" };

function writeCalls(one) {
  const calls = one ? [...one.main.calls.values()] : [];
  set($("calls"), ...(calls.length ? calls.map((call) => html("li", "",
    html("span", "chip " + call.state, SAYS[call.state] || call.state), html("code", "", call.line),
    html("span", "access", "  " + ACCESS[call.access] + (call.version > 1 ? ", version " + call.version : "")),
    ...(call.why ? [html("div", "why", call.why)] : []), ...(call.result ? [html("code", "result", "→ " + call.result)] : [])))
    : [html("li", "empty", "No calls yet.")]));
}

const TAGS = /<\/?(?:think|tool_call|answer|pause)>/g;

function writeModel(one) {
  const rows = [];
  for (const span of one ? one.main.spans : []) {
    for (const piece of span.pieces) {
      const text = piece.part === "pause" ? "(waits)" : piece.text.replace(TAGS, "").trim();
      const waits = piece.part === "pause" && rows.length && rows[rows.length - 1].look === "pause";  // once is enough
      if (text && !waits) rows.push({ at: piece.start, look: piece.part, text });
    }
    if (span.ended === "cut" && span.pieces.length) rows.push({ at: span.end, look: "cut", text: "✂ stopped for news" });
  }
  for (const refused of one ? one.main.refused : []) rows.push({ at: refused.at, look: "refused", text: "refused: " + refused.text });
  rows.sort((a, b) => a.at - b.at);
  const place = $("wrote"), below = place.scrollHeight - place.scrollTop - place.clientHeight < 30;
  set(place, ...(rows.length ? rows.map((row) => html("li", "", html("time", "", secs(row.at - one.from)), html("span", row.look, row.text))) : [html("li", "empty", "Nothing yet.")]));
  if (below) place.scrollTop = place.scrollHeight;
}

function writePast(there) {
  const rows = there.map((n) => turns.get(n)).filter((one) => one.main.answer !== null);
  $("past").hidden = rows.length < 1;
  set($("rows"), ...rows.map((one) => html("tr", "",
    html("td", "", one.words.filter((word) => !word.gone).map((word) => word.text).join(" ")), html("td", "", one.main.answer),
    html("td", "n", secs(one.main.latency)), html("td", "n", one.beside && one.beside.latency !== null ? secs(one.beside.latency) : "–"))));
}
