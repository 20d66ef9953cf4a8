// The connection: numbered both ways, so that it may drop at any moment and nothing is lost or heard twice. Its end, and the page's start.

const MODES = {
  sequential: "waits for your last word, then one call after the other", parallel: "waits for your last word, then many calls at once",
  async_tools: "waits for your last word, and writes on while calls run", eager_end: "begins at a predicted end, and throws it away if you go on",
  async_io: "listens and plans; every call is held until you have finished", speculative: "listens, and starts look-ups while you speak",
  verified: "plans at every word, decides when you have finished",
};

const line = { socket: null, talk: "", seq: 0, n: 0, sent: 0, waiting: [], tries: 0, mode: "", again: 0, asked: "" };

function state(text, look) {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = "state " + look;
}

function connect() {
  clearTimeout(line.again);
  const socket = new WebSocket("ws://" + location.host + "/talk");
  line.socket = socket;
  socket.onopen = () => socket.send(JSON.stringify({ kind: "hello", talk: line.talk, after: line.seq, mode: line.asked, beside: $("compare").checked }));
  socket.onmessage = (event) => socket === line.socket && receive(JSON.parse(event.data));
  socket.onclose = (event) => {
    if (socket !== line.socket) return;
    line.ready = false;
    if (event.code === 4001) return state("this conversation goes on in another window; reload to begin a new one", "off");
    if (event.code === 1008) return state("refused: " + (event.reason || "no reason given") + "; reload the page", "off");
    state((event.reason ? event.reason : "connection lost") + "; trying again …", "off");
    line.again = setTimeout(connect, Math.min(10000, 400 * 2 ** line.tries++));
  };
}

function receive(message) {
  if (message.kind === "welcome") return welcome(message);
  if (message.kind === "taken") { line.waiting = line.waiting.filter((one) => one.n > message.n); return; }
  if (message.seq <= line.seq) return;
  line.seq = message.seq;
  if (message.kind === "ready") state("listening", "on");
  if (message.kind === "over") state("this conversation is over (" + message.outcome + "); begin a new one", "off");
  if (message.kind === "hush") voice.hush();
  if (message.kind === "answered" && !message.beside) voice.answer(message.text);
  take(message);
}

function welcome(message) {
  line.tries = 0;
  line.ready = true;
  if (!message.resumed) {
    if (line.talk && line.waiting.length) voice.note("The conversation before was over; this is a new one.");
    Object.assign(line, { seq: 0, n: 0, sent: 0, waiting: [], talk: message.talk });
    clear();
    state("reading its instructions …", "");
  } else {
    line.waiting = line.waiting.filter((one) => one.n > message.taken);
    line.waiting.forEach((one) => line.socket.send(JSON.stringify(one)));
    line.sent = line.n;
    state("listening", "on");
  }
  line.mode = line.asked = message.mode;
  about(message);
}

function about(message) {
  const { model = "", world = "", examples = [], tools = [], alone = "" } = message.about;
  $("model").textContent = model + (tools.length ? " · " + tools.length + " tools" : "");
  $("mode").replaceChildren(...message.modes.map((mode) => new Option(mode, mode)));
  $("mode").value = message.mode;
  $("about-mode").textContent = MODES[message.mode] || "";
  document.querySelectorAll(".baseline").forEach((one) => (one.textContent = message.baseline));
  $("compare").disabled = !message.compares || message.mode === message.baseline;
  $("compare").parentElement.title = alone;
  $("world").textContent = [world, alone && "Nothing is compared: " + alone + "."].filter(Boolean).join(" ");
  $("examples").replaceChildren(...examples.map((text) => {
    const made = html("button", "", "▸ " + text);
    made.type = "button";
    made.onclick = () => play(text);
    return made;
  }));
}

// What the user does. Numbers are given here, and what is not acknowledged is sent again.
function send(message) {
  const open = line.ready && line.socket.readyState === WebSocket.OPEN, last = line.waiting[line.waiting.length - 1];
  // what nobody could hear yet, and is another now, is said once
  if (!open && last && last.n > line.sent && message.kind === "hears" && last.kind === "hears" && !last.closes) return Object.assign(last, message);
  const numbered = { ...message, n: ++line.n };
  line.waiting.push(numbered);
  if (!open) return;
  line.socket.send(JSON.stringify(numbered));
  line.sent = numbered.n;
}

function fresh(mode) {
  voice.hush();
  voice.stop();
  const old = line.socket;
  line.socket = null;
  if (old && old.readyState === WebSocket.OPEN) { old.send(JSON.stringify({ kind: "close" })); old.close(); }
  Object.assign(line, { talk: "", seq: 0, n: 0, sent: 0, waiting: [], ready: false, tries: 0, asked: mode });
  $("say").value = typing.told = "";
  connect();
}

$("fresh").onclick = () => fresh($("mode").value);
$("mode").onchange = () => fresh($("mode").value);
$("compare").onchange = () => { send({ kind: "beside", on: $("compare").checked }); draw(); };
$("before").onclick = () => look(-1);
$("after").onclick = () => look(1);

const THEMES = ["auto", "light", "dark"], dark = matchMedia("(prefers-color-scheme: dark)");
let theme = 0;
function paint() {
  const name = THEMES[theme] === "auto" ? (dark.matches ? "dark" : "light") : THEMES[theme];
  document.documentElement.dataset.theme = name;
  $("theme").textContent = "◐ " + THEMES[theme];
  $("theme").setAttribute("aria-label", "Colours: " + (theme ? THEMES[theme] : "as the system"));
}
$("theme").onclick = () => { theme = (theme + 1) % THEMES.length; paint(); };
dark.onchange = paint;
window.addEventListener("resize", draw);
paint();
legend();
clear();
connect();
$("say").focus();
