// Entry point: subscribes to the daemon's events, draws each view, and warns when no events arrive.

import { reconcile, setText, setVisible } from "./dom.js";
import { seconds } from "./format.js";
import { History } from "./history.js";
import { card, header, overview, totals } from "./page.js";

const SILENT_MS = 5000; // the daemon sends a view every second
const RETRY_MS = [500, 1000, 2000, 4000];

const warning = document.getElementById("lost");
const streams = document.getElementById("streams");
const drawHeader = header();
const drawOverview = overview(document.getElementById("overview"));
const drawTotals = totals(document.getElementById("totals"));
const cards = new Map();
const history = new History();
let receivedAt = Date.now();
let failures = 0;
let source = null;
let retryTimer = null;

function draw(view) {
  if (!view) return;
  history.setEnd(view.at_ms / 1000);
  drawHeader(view);
  drawTotals(view, history);
  drawOverview(view);
  reconcile(streams, cards, view.streams, (stream) => stream.name, (stream) => {
    const { root, update } = card(stream);
    return { root, update: (current) => update(current, history, latest.latency_bounds_s) };
  });
}

let latest = null;

function receive(data) {
  receivedAt = Date.now();
  failures = 0;
  document.body.classList.remove("silent");
  setVisible(warning, false);
  history.add(data.history);
  latest = data.view ?? latest;
  draw(data.view);
  if (data.token) setVisible(document.getElementById("logout"), true);
}

function connect() {
  retryTimer = null;
  source = new EventSource("/api/events");
  for (const name of ["hello", "tick"]) source.addEventListener(name, (event) => receive(JSON.parse(event.data)));
  source.onerror = reconnect;
}

// Reconnects with backoff; EventSource itself would never give up on an expired login.
async function reconnect() {
  source.close();
  if (retryTimer !== null) return;
  retryTimer = setTimeout(connect, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2));
  failures += 1;
  checkConnection();
  try {
    const response = await fetch("/api/health", { cache: "no-store" });
    if (response.status === 401) location.assign("/login");
  } catch {
    // The daemon is unreachable; checkConnection shows that.
  }
}

// Shows a warning while no events arrive.
function checkConnection() {
  const silentMs = Date.now() - receivedAt;
  if (silentMs < SILENT_MS && failures < 2) return;
  document.body.classList.add("silent");
  setText(warning, `No data from the daemon for ${seconds(Math.max(1, Math.round(silentMs / 1000)))}. The values below are old. Reconnecting.`);
  setVisible(warning, true);
}

setInterval(checkConnection, 1000);
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
connect();
