// The keyboard and the voice: both give the utterance so far, whole words, which may change; both say when it has ended.

const PREDICTS_MS = 450, ENDS_MS = 1000, SETTLES_MS = 1000;

function hears(text, closes) {
  if (text.length > 3900) text = text.slice(0, 3900);
  send({ kind: "hears", text, closes });
  voice.hush();  // who speaks is not spoken to
}

// ---- typed

const typing = { told: "", timer: 0, script: 0 };

function typed(pause) {
  const text = $("say").value, whole = pause ? text : text.replace(/\S+$/, "");
  const words = whole.split(/\s+/).filter(Boolean).join(" ");
  if (words === typing.told) return;
  typing.told = words;
  hears(words, false);
  if (/[.!?]$/.test(words)) send({ kind: "predicted" });
}

$("say").oninput = () => {
  typed(false);
  clearTimeout(typing.timer);
  typing.timer = setTimeout(() => typed(true), SETTLES_MS);
};

$("composer").onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(typing.timer);
  if (voice.on && voice.unended) return voice.ends();
  const words = $("say").value.split(/\s+/).filter(Boolean).join(" ");
  if (!words && !typing.told) return;
  hears(words, true);
  send({ kind: "ends" });
  $("say").value = typing.told = "";
};

// An example, typed word by word as somebody would speak.
function play(text) {
  clearInterval(typing.script);
  const words = text.split(" ");
  $("say").value = "";
  typed(true);
  typing.script = setInterval(() => {
    if (!words.length) {
      clearInterval(typing.script);
      return $("composer").requestSubmit();
    }
    $("say").value += words.shift() + " ";
    typed(false);
  }, 280);
}

// ---- spoken

const Recogniser = window.SpeechRecognition || window.webkitSpeechRecognition;

const LANG = navigator.language.startsWith("en") ? navigator.language : "en-US";

const voice = {
  local: false,  // whether the browser can recognise on this machine: where it can't, it would refuse to start so
  on: false, unended: false, recogniser: null, closed: 0, timers: [], saying: null, heard: 0,

  note(text) { $("hears").textContent = text; },

  start() {
    if (!Recogniser) return voice.note("This browser has no speech recognition; type instead, or use Chrome, Edge or Safari.");
    const made = (voice.recogniser = new Recogniser());
    Object.assign(made, { continuous: true, interimResults: true, lang: LANG });
    if ("processLocally" in made) made.processLocally = voice.local;
    voice.closed = 0;
    made.onresult = voice.result;
    made.onerror = (event) => {
      if (event.error === "no-speech" || event.error === "aborted") return;
      voice.stop();
      voice.note({ "not-allowed": "The microphone is not allowed for this page; allow it in the browser's settings.", network: "The browser's recognition needs the network and has none; type instead." }[event.error] || "Speech recognition: " + event.error);
    };
    made.onend = () => { if (voice.on && voice.recogniser === made) { voice.closed = 0; made.start(); } };
    voice.on = true;
    $("speak").setAttribute("aria-pressed", "true");
    $("speak").textContent = "■ Stop";
    voice.note("Listening. " + (made.processLocally ? "What you say stays on this machine." : "Your browser may send what you say to its maker to recognise it."));
    made.start();
  },

  stop() {
    if (!voice.on) return;
    voice.on = false;
    $("speak").setAttribute("aria-pressed", "false");
    $("speak").textContent = "● Speak";
    voice.note("");
    if (voice.unended) voice.ends();
    voice.recogniser.stop();
  },

  // All results from the first that is not closed on are one utterance; a final one closes it.
  result(event) {
    let open = "";
    for (let n = voice.closed; n < event.results.length; n++) {
      open += " " + event.results[n][0].transcript.trim();
      if (event.results[n].isFinal) {
        voice.hears(open, true);
        voice.closed = n + 1;
        open = "";
      }
    }
    if (open.trim()) voice.hears(open, false);
  },

  hears(text, closes) {
    const words = text.trim().replace(/\s+/g, " ");
    if (!words || voice.isEcho(words)) return;
    $("say").value = closes ? "" : words;
    voice.unended = true;
    hears(words, closes);
    voice.timers.forEach(clearTimeout);
    voice.timers = [setTimeout(() => send({ kind: "predicted" }), closes ? 0 : PREDICTS_MS), setTimeout(voice.ends, ENDS_MS)];
  },

  ends() {
    voice.timers.forEach(clearTimeout);
    voice.unended = false;
    $("say").value = typing.told = "";
    send({ kind: "ends" });
  },

  // The recogniser hears the page's own voice, too: words of the answer in its order are no request.
  isEcho(words) {
    if (!voice.saying) return false;
    const bare = (text) => text.toLowerCase().replace(/[^\p{L}\p{N} ]/gu, "").replace(/\s+/g, " ").trim();
    return bare(voice.saying).includes(bare(words));
  },

  answer(text) {
    const synth = window.speechSynthesis;
    if (!$("aloud").checked || !synth || !text) return;
    const said = new SpeechSynthesisUtterance(text);
    said.lang = "en-US";
    said.onstart = () => { if (voice.saying === text) send({ kind: "speaking", part: "begun", heard: "" }); };
    said.onboundary = (event) => { if (voice.saying === text) voice.heard = event.charIndex; };
    said.onend = said.onerror = () => {
      if (voice.saying !== text) return;
      voice.saying = null;
      send({ kind: "speaking", part: "ended", heard: "" });
    };
    voice.saying = text;
    voice.heard = 0;
    synth.speak(said);
  },

  // The user speaks into it: silence at once, and how much of it was heard.
  hush() {
    if (!voice.saying) return;
    const heard = voice.saying.slice(0, voice.heard).trim();
    voice.saying = null;
    window.speechSynthesis.cancel();
    send({ kind: "speaking", part: "cut", heard });
  },
};

Recogniser?.available?.({ langs: [LANG], processLocally: true }).then((found) => (voice.local = found === "available")).catch(() => {});
$("speak").onclick = () => (voice.on ? voice.stop() : voice.start());
document.addEventListener("keydown", (event) => { if (event.key === "Escape") voice.hush(); });
