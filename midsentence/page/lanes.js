// The lanes: what the user said, what the model wrote, the states of each call, the answer, on one axis of time.

const SVG = "http://www.w3.org/2000/svg", ROW = 27, BAR = 15, PAD = 18, TOP = 20, MIN_PER_S = 40;
const PART = { think: "--think", tool_call: "--tool-call", pause: "--pause", answer: "--answer", other: "--other" };
const CALL = { running: "--running", held: "held", blocked: "--chip", ready: "--chip" };
const LEGEND = [
  ["thinks", "--think"], ["writes a call", "--tool-call"], ["waits", "--pause"], ["answers", "--answer"], ["stopped for news", "--cut"],
  ["call not yet whole", "--chip"], ["call held", "held"], ["call runs", "--running"], ["after your last word", "--wait"],
];
const STRIPES = "repeating-linear-gradient(135deg, var(--running) 0 1.5px, var(--held) 1.5px 5px)";

function legend() {
  for (const [name, look] of LEGEND) {
    const mark = html("i");
    mark.style.background = look === "held" ? STRIPES : "var(" + look + ")";
    $("legend").append(html("li", "", mark, name));
  }
}

function node(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const text = (x, y, said, more = {}) => node("text", { x, y, fill: "var(--ink)", ...more }, said);

function lanes(one) {
  const wide = $("lanes-box").clientWidth - 2, gutter = wide < 560 ? 84 : 170;
  const from = one && one.from !== null ? one.from : 0;
  let until = from + 4;
  if (one) for (const own of [one.main, one.beside]) if (own) until = Math.max(until, endOf(own, one) + 0.3);
  const width = Math.max(wide, gutter + PAD + Math.ceil((until - from) * MIN_PER_S));
  const x = (s) => gutter + ((s - from) / (until - from)) * (width - gutter - PAD);
  picture($("lanes"), one, one && one.main, true, { x, from, until, width, gutter });
  if (one && one.beside) picture($("lanes-beside"), one, one.beside, false, { x, from, until, width, gutter });
  const box = $("lanes-box");
  if (width > wide && one && one.main.answer === null) box.scrollLeft = width;
}

// The end of what is known; of what goes on, now.
function endOf(own, one) {
  if (own.answer !== null) return Math.max(own.answeredAt, one.last);
  const open = own === one.main && one.n === latest && line.ready;
  const seen = [one.last, ...own.spans.map((span) => span.end ?? span.start), ...[...own.calls.values()].map((call) => call.stays.at(-1).start)];
  return open ? Math.max(now(), ...seen) : Math.max(...seen, own.answeredAt || 0);
}

function picture(svg, one, own, main, axis) {
  const { x, from, until, width, gutter } = axis;
  const calls = own ? [...own.calls.values()].filter((call) => call.stays.length) : [];
  const rows = [...(main ? ["you"] : []), "model", ...calls.map((call) => call), "answer"];
  const height = TOP + rows.length * ROW + 10, out = [stripes(main)];
  const now_s = one ? endOf(own, one) : 0;
  if (one && one.from !== null && one.ends.some((end) => !end.predicted)) {
    const end = own.answer !== null ? own.answeredAt : now_s;
    out.push(node("rect", { x: x(one.last), y: TOP, width: Math.max(0, x(end) - x(one.last)), height: height - TOP - 6, fill: "var(--wait)" }));
  }
  const step = [0.5, 1, 2, 5, 10, 20, 60].find((s) => x(from + s) - x(from) > 46) || 120;
  for (let s = 0; from + s <= until; s += step) {
    out.push(node("line", { x1: x(from + s), x2: x(from + s), y1: TOP - 4, y2: height - 6, stroke: "var(--line)" }));
    out.push(text(x(from + s), 12, s + " s", { fill: "var(--soft)", "text-anchor": "middle", "font-size": 11 }));
  }
  if (one && one.from !== null) out.push(node("line", { x1: x(one.last), x2: x(one.last), y1: TOP - 4, y2: height - 6, stroke: "var(--soft)", "stroke-dasharray": "4 3" }));
  rows.forEach((row, n) => {
    const y = TOP + n * ROW + 4, name = row === "answer" ? "answers" : row === "model" ? (gutter < 100 ? "writes" : "thinks, writes") : row === "you" ? "you" : nameOf(row);
    out.push(text(12, y + BAR - 3, cropped(name, gutter - 22), { "font-size": 12 }));
    if (!one) return;
    if (row === "you") out.push(...words(one, x, y));
    else if (row === "model") out.push(...spans(own, x, y, now_s));
    else if (row === "answer") out.push(...says(own, x, y, width, now_s));
    else out.push(...states(row, x, y, width, now_s, main));
  });
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-label", !one ? "Nothing has happened yet" : told(one, own));
  svg.replaceChildren(...out);
}

const nameOf = (call) => call.line.replace(/^(\d+)\. /, "$1 ").replace(/\(.*$/s, "");
const cropped = (said, px) => (said.length * 7.2 > px ? said.slice(0, Math.max(3, Math.floor(px / 7.2) - 1)) + "…" : said);

function told(one, own) {
  const calls = [...own.calls.values()].map((call) => nameOf(call) + " " + (SAYS[call.state] || call.state));
  return "Lanes. Calls: " + (calls.join(", ") || "none") + ". " + (own.latency === null ? "No answer yet." : "Answered " + secs(own.latency) + " after the last word.");
}

function stripes(main) {
  const id = main ? "held" : "held-beside";
  return node("defs", {}, node("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    node("rect", { width: 5, height: 5, fill: "var(--held)" }), node("rect", { width: 1.6, height: 5, fill: "var(--running)" })));
}

const bar = (x, start, end, y, fill, more = {}) => node("rect", { x: x(start), y, width: Math.max(1.5, x(end) - x(start)), height: BAR, rx: 2, fill, ...more });

// Words stand where they came in; those for which there is no room are ticks only.
function words(one, x, y) {
  const out = [];
  let free = -Infinity;
  for (const word of one.words) {
    const at = x(word.at), needs = word.text.length * 7.3 + 6;
    out.push(node("line", { x1: at, x2: at, y1: y + BAR, y2: y + BAR + 4, stroke: word.gone ? "var(--cut)" : "var(--update)", "stroke-width": 2 }));
    if (at < free) continue;
    out.push(text(at - 1, y + BAR - 3, word.text, word.gone ? { fill: "var(--soft)", "text-decoration": "line-through" } : {}));
    free = at + needs;
  }
  return out;
}

function spans(own, x, y, now_s) {
  const out = [];
  for (const span of own.spans) {
    for (const piece of span.pieces) {
      const made = bar(x, piece.start, piece.end, y, "var(" + PART[piece.part] + ")");
      made.append(node("title", {}, piece.text.replace(TAGS, "").trim() || piece.part));
      out.push(made);
    }
    if (!span.pieces.length && span.end === null) out.push(bar(x, span.start, Math.max(now_s, span.start), y, "var(--chip)"));
    if (span.ended === "cut" || span.ended === "error") out.push(node("line", { x1: x(span.end), x2: x(span.end), y1: y - 3, y2: y + BAR + 3, stroke: "var(--cut)", "stroke-width": 2 }));
  }
  return out;
}

const ENDS = { done: ["✓", "--good"], failed: ["✗ failed", "--bad"], unknown: ["? unknown", "--bad"], cancelled: ["cancelled", "--soft"], skipped: ["skipped", "--soft"], gone: ["thrown away", "--soft"] };

function states(call, x, y, width, now_s, main) {
  const out = [];
  call.stays.forEach((stay) => {
    const end = stay.end ?? (ENDS[stay.state] ? stay.start : Math.max(now_s, stay.start)), look = CALL[stay.state];
    if (look) {
      const fill = look === "held" ? "url(#" + (main ? "held" : "held-beside") + ")" : "var(" + look + ")";
      out.push(bar(x, stay.start, end, y, fill, look === "--chip" ? { stroke: "var(--word)", "stroke-dasharray": "3 2" } : {}));
    } else if (stay.state === "failed" || stay.state === "unknown") {
      out.push(node("line", { x1: x(stay.start), x2: x(stay.start), y1: y - 2, y2: y + BAR + 2, stroke: "var(--cut)", "stroke-width": 3 }));
    }
  });
  const last = call.stays[call.stays.length - 1], ended = ENDS[last.state];
  if (ended) {
    const left = x(last.start) > width - 8 - 7 * ended[0].length, at = x(last.start) + (left ? -5 : 5);
    out.push(text(at, y + BAR - 3, ended[0], { fill: "var(" + ended[1] + ")", "text-anchor": left ? "end" : "start" }));
  }
  return out;
}

function says(own, x, y, width, now_s) {
  const out = [];
  own.says.forEach((say, n) => {
    if (!say.text) return;
    const next = own.says[n + 1], end = say.last ? own.answeredAt ?? now_s : next ? next.at : now_s;
    out.push(bar(x, say.at, Math.max(say.at, end), y, say.withdrawn ? "var(--void)" : "var(--answer)"));
    if (say.last && own.latency !== null) {
      const left = x(end) > width - 62, at = left ? x(say.at) - 5 : x(end) + 5;
      out.push(text(at, y + BAR - 3, secs(own.latency), { "text-anchor": left ? "end" : "start", "font-weight": 600 }));
    }
  });
  return out;
}
