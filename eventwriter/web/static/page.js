// The parts of the page: header, totals, overview, and a card for each stream. Each is created once and then updated.

import { histogram, sparkline } from "./charts.js";
import { el, reconcile, setAttribute, setText, setVisible } from "./dom.js";
import { bytes, count, micros, millis, percent, rate, seconds } from "./format.js";

const perSecond = (value) => `${rate(value)}/s`;
const ICONS = { degraded: "/static/icon-degraded.svg", failing: "/static/icon-failing.svg" };

const STAGES = [
  { name: "pull", title: "pull", word: "idle", figure: (s) => perSecond(s.messages_per_s), unit: "messages" },
  { name: "decode", title: "decode", word: "busy", figure: (s) => micros(s.stages.decode_us), unit: "a message" },
  { name: "rows", title: "rows", word: "busy", figure: (s) => micros(s.stages.rows_us), unit: "a row" },
  { name: "batch", title: "batch", word: "held up", figure: (s) => count(s.stages.batch_messages && Math.round(s.stages.batch_messages)), unit: "messages" },
  { name: "copy", title: "copy", word: "busy", figure: (s) => millis(s.stages.copy_ms), unit: "a batch" },
  { name: "ack", title: "ack", word: "busy", figure: (s) => millis(s.stages.ack_ms), unit: "a batch" },
];

export function header() {
  const at = (id) => document.getElementById(id);
  return (view) => {
    setText(at("status"), view.status);
    setAttribute(at("status"), "data-health", view.status);
    setText(at("reason"), view.reason ?? "all slots are healthy");
    setText(at("about"), `${view.version} · up ${seconds(view.uptime_s)}`);
    setAttribute(at("icon"), "href", ICONS[view.status] ?? "/static/icon.svg");
    document.title = `${view.status}${view.totals.lag_messages ? ` · ${count(view.totals.lag_messages)} waiting` : ""} · eventwriter`;
  };
}

function tile(label, className = "") {
  const figure = el("strong");
  const note = el("small");
  return { root: el("div", `tile ${className}`, el("span", "label", label), figure, note), figure, note };
}

export function totals(parent) {
  const tiles = { messages: tile("messages"), rows: tile("rows"), waiting: tile("waiting"), dead: tile("dead letters"),
    nats: tile("NATS", "server"), postgres: tile("PostgreSQL", "server") };
  const moved = sparkline("messages a second, all streams", "throughput", perSecond);
  const lag = sparkline("messages waiting, all streams", "lag", count);
  parent.append(el("div", "tiles", ...Object.values(tiles).map((one) => one.root)), el("div", "charts", moved.root, lag.root));

  function server(one, state, where) {
    // Without a living worker nothing is known about the server.
    const partly = !state.connected && state.workers_connected > 0;
    const idle = state.connected === null;
    setText(one.figure, state.connected ? "connected" : idle ? "no worker" : partly ? `${state.workers_connected} of ${state.workers} workers` : "not connected");
    setText(one.note, where ?? "");
    setAttribute(one.root, "title", where ?? "");
    setAttribute(one.root, "data-health", state.connected ? "healthy" : partly || idle ? "degraded" : "failing");
  }

  return (view, history) => {
    const sums = view.totals;
    setText(tiles.messages.figure, perSecond(sums.messages_per_s));
    setText(tiles.messages.note, `${count(sums.messages_total)} since the start`);
    setText(tiles.rows.figure, perSecond(sums.rows_per_s));
    setText(tiles.rows.note, `${count(sums.rows_total)} written`);
    setText(tiles.waiting.figure, count(sums.lag_messages));
    setText(tiles.waiting.note, sums.lag_messages ? `oldest ${seconds(sums.lag_s)}` : "no backlog");
    setText(tiles.dead.figure, count(sums.dead_letters_total));
    setText(tiles.dead.note, sums.dead_letters_total ? `${percent(sums.dead_letters_total / Math.max(1, sums.messages_total))} of all` : "none");
    setAttribute(tiles.dead.root, "data-some", String(sums.dead_letters_total > 0));
    server(tiles.nats, view.nats, view.nats.url);
    server(tiles.postgres, view.postgres, view.postgres.target);
    moved.update(history, history.sum("messages_per_s"));
    lag.update(history, history.sum("lag_messages"));
  };
}

// Links to the cards below, each with the health and the rate of its stream.
export function overview(parent) {
  const links = new Map();
  const make = (stream) => {
    const speed = el("span", "speed");
    const waiting = el("span", "waiting");
    const name = el("b", "", stream.name);
    const root = el("a", "", name, speed, waiting);
    root.href = `#${anchor(stream.name)}`;
    return {
      root,
      update(one) {
        setAttribute(root, "data-health", one.health);
        setText(speed, perSecond(one.messages_per_s));
        setText(waiting, one.lag_messages ? `${count(one.lag_messages)} waiting` : "");
        setAttribute(root, "title", `${one.health}${one.reason ? `: ${one.reason}` : ""}`);
      },
    };
  };
  return (view) => {
    reconcile(parent, links, view.streams, (stream) => stream.name, make);
    setVisible(parent, view.streams.length > 1);
  };
}

const anchor = (name) => `stream-${encodeURIComponent(name)}`;

function stage({ name, title, word, figure, unit }) {
  const value = el("strong");
  const load = el("span", "load");
  const bar = el("i", "bar");
  const root = el("li", `stage ${name}`, el("span", "label", title), value, el("small", "", unit), bar, load);
  return {
    root,
    update(stream) {
      const share = stream.stages.share[name];
      setText(value, figure(stream));
      setText(load, share === null ? "–" : `${percent(share)} ${word}`);
      root.style.setProperty("--share", share ?? 0);
    },
  };
}

// Returns the last error of a worker if it is less than an hour old.
function lastError(one) {
  const ago_s = one.last_error_at_ns ? Date.now() / 1000 - one.last_error_at_ns / 1e9 : Infinity;
  return one.last_error && ago_s < 3600 ? `${seconds(Math.max(1, Math.round(ago_s)))} ago: ${one.last_error}` : "";
}

function worker() {
  const cells = Object.fromEntries(["name", "state", "rate", "restarts", "cpu", "memory", "up"].map((key) => [key, el("td", key)]));
  const note = el("td", "note");
  note.colSpan = 7;
  const second = el("tr", "remark", note);
  const root = el("tbody", "", el("tr", "", ...Object.values(cells)), second);
  return {
    root,
    update(one) {
      setText(cells.name, one.name);
      setText(cells.state, one.state);
      setAttribute(cells.state, "data-health", one.health);
      setText(cells.rate, perSecond(one.messages_per_s));
      setText(cells.restarts, count(one.restarts));
      setText(cells.cpu, percent(one.cpu));
      setText(cells.memory, bytes(one.rss_bytes));
      setAttribute(cells.up, "data-is", one.pid ? "up" : "");
      setText(cells.up, one.pid ? seconds(one.uptime_s) : one.retry_in_s === null ? "–" : `restart in ${seconds(one.retry_in_s)}`);
      // If a stream has only one worker, the card already shows its reason.
      const remark = one.reason ? (one.isAlone ? "" : one.reason) : lastError(one);
      setText(note, remark);
      setVisible(second, remark !== "");
    },
  };
}

function reason([word, number]) {
  const figure = el("strong");
  return {
    root: el("li", "", el("span", "", word.replaceAll("_", " ")), figure),
    update: ([, many]) => setText(figure, count(many)),
    number,
  };
}

export function card(first) {
  const heading = el("h2", "", first.name);
  const source = el("span", "source");
  const health = el("span", "pill");
  const bottleneck = el("p", "bottleneck");
  const why = el("p", "why");
  const stages = STAGES.map(stage);
  const pipeline = el("ol", "pipeline", ...stages.map((one) => one.root));
  pipeline.setAttribute("aria-label", "Share of time in each stage");
  const moved = sparkline("messages a second", "throughput", perSecond);
  const lag = sparkline("messages waiting", "lag", count);
  const latency = histogram("latency", "from the JetStream timestamp to the commit, over the last 5 minutes");
  const reasons = el("ul", "reasons");
  const dead = el("div", "chart dead", el("div", "title", el("h4", "", "dead letters"), el("span", "value")), reasons);
  const table = el("table", "workers");
  const titles = ["worker", "state", "messages", "restarts", "CPU", "memory", "up"];
  const classes = ["name", "state", "rate", "restarts", "cpu", "memory", "up"];
  table.append(el("thead", "", el("tr", "", ...titles.map((title, at) => el("th", classes[at], title)))));
  for (const title of table.querySelectorAll("th")) title.scope = "col";
  const body = el("div", "scroll", table);
  const workers = new Map();
  const words = new Map();
  const root = el("article", "stream", el("div", "head", heading, health, source, bottleneck), why, pipeline,
    el("div", "charts", moved.root, lag.root, latency.root, dead), body);

  root.id = anchor(first.name);

  function update(stream, history, bounds) {
    setText(health, stream.health);
    setAttribute(health, "data-health", stream.health);
    setText(source, stream.source && stream.source !== stream.name ? `stream ${stream.source}` : "");
    setText(bottleneck, stream.bottleneck ?? "");
    setText(why, stream.reason ?? "");
    setVisible(why, Boolean(stream.reason));
    for (const one of stages) one.update(stream);
    moved.update(history, history.of(stream.name, "messages_per_s"));
    lag.update(history, history.of(stream.name, "lag_messages"));
    latency.update(bounds, stream.latency);
    const all = Object.entries(stream.dead_by_reason);
    setText(dead.querySelector(".value"), stream.dead_letters_total ? count(stream.dead_letters_total) : "none");
    reconcile(reasons, words, all, ([word]) => word, reason);
    updateWorkers(stream.workers);
  }

  // The first child of the table is its heading; only the bodies after it are reconciled.
  function updateWorkers(list) {
    const bodies = { children: [...table.tBodies], insertBefore: (part, before) => table.insertBefore(part, before) };
    reconcile(bodies, workers, list.map((one) => ({ ...one, isAlone: list.length === 1 })), (one) => one.name, worker);
  }
  return { root, update };
}
