// The page's life: listen to the daemon, draw what it says, and say so when it says nothing.

import { keep, put, show } from "./dom.js";
import { seconds } from "./format.js";
import { Past } from "./past.js";
import { card, header, overview, totals } from "./page.js";

const SILENT_MS = 5000; // a picture comes each second
const RETRY_MS = [500, 1000, 2000, 4000];

const lost = document.getElementById("lost");
const streams = document.getElementById("streams");
const drawHeader = header();
const drawOverview = overview(document.getElementById("overview"));
const drawTotals = totals(document.getElementById("totals"));
const cards = new Map();
const past = new Past();
let heard = Date.now();
let failures = 0;
let source = null;
let trying = null;

function draw(view) {
  if (!view) return;
  past.end(view.at_ms / 1000);
  drawHeader(view);
  drawTotals(view, past);
  drawOverview(view);
  keep(streams, cards, view.streams, (stream) => stream.name, (stream) => {
    const made = card(stream);
    return { root: made.root, update: (one) => made.update(one, past, latest.latency_bounds_s) };
  });
}

let latest = null;

function hear(data) {
  heard = Date.now();
  failures = 0;
  document.body.classList.remove("silent");
  show(lost, false);
  past.add(data.history);
  latest = data.view ?? latest;
  draw(data.view);
  if (data.token) show(document.getElementById("logout"), true);
}

function connect() {
  trying = null;
  source = new EventSource("/api/events");
  for (const name of ["hello", "tick"]) source.addEventListener(name, (event) => hear(JSON.parse(event.data)));
  source.onerror = again;
}

async function again() {
  source.close();
  if (trying !== null) return;
  trying = setTimeout(connect, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
  failures += 1;
  watch();
  try {
    const answer = await fetch("/api/health", { cache: "no-store" });
    if (answer.status === 401) location.assign("/login");
  } catch {
    // Nobody answers: that is what the line above the page says already.
  }
}

function watch() {
  const silent = Date.now() - heard;
  if (silent < SILENT_MS && failures < 2) return;
  document.body.classList.add("silent");
  put(lost, `No news from the daemon for ${seconds(Math.max(1, Math.round(silent / 1000)))}: what is shown is from before. Trying again.`);
  show(lost, true);
}

setInterval(watch, 1000);
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
connect();
