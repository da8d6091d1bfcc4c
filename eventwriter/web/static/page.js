// What is on the page: the daemon's line, the totals, and a card for each stream. Made once, then only changed.

import { bars, spark } from "./charts.js";
import { el, keep, mark, put, show } from "./dom.js";
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
    put(at("status"), view.status);
    mark(at("status"), "data-health", view.status);
    put(at("reason"), view.reason ?? "everything that comes in is written");
    put(at("about"), `${view.version} · up ${seconds(view.uptime_s)}`);
    mark(at("icon"), "href", ICONS[view.status] ?? "/static/icon.svg");
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
  const moved = spark("messages a second, all streams", "throughput", perSecond);
  const lag = spark("messages waiting, all streams", "lag", count);
  parent.append(el("div", "tiles", ...Object.values(tiles).map((one) => one.root)), el("div", "charts", moved.root, lag.root));

  function server(one, state, where) {
    const partly = !state.connected && state.workers_connected > 0;
    put(one.figure, state.connected ? "connected" : partly ? `${state.workers_connected} of ${state.workers} workers` : "not connected");
    put(one.note, where ?? "");
    mark(one.root, "title", where ?? "");
    mark(one.root, "data-health", state.connected ? "healthy" : partly ? "degraded" : "failing");
  }

  return (view, past) => {
    const sums = view.totals;
    put(tiles.messages.figure, perSecond(sums.messages_per_s));
    put(tiles.messages.note, `${count(sums.messages_total)} since the start`);
    put(tiles.rows.figure, perSecond(sums.rows_per_s));
    put(tiles.rows.note, `${count(sums.rows_total)} written`);
    put(tiles.waiting.figure, count(sums.lag_messages));
    put(tiles.waiting.note, sums.lag_messages ? `oldest ${seconds(sums.lag_s)}` : "nothing behind");
    put(tiles.dead.figure, count(sums.dead_letters_total));
    put(tiles.dead.note, sums.dead_letters_total ? `${percent(sums.dead_letters_total / Math.max(1, sums.messages_total))} of all` : "none");
    mark(tiles.dead.root, "data-some", String(sums.dead_letters_total > 0));
    server(tiles.nats, view.nats, view.nats.url);
    server(tiles.postgres, view.postgres, view.postgres.target);
    moved.update(past, past.sum("messages_per_s"));
    lag.update(past, past.sum("lag_messages"));
  };
}

// A line of links to the cards below, each with its stream's health and speed.
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
        mark(root, "data-health", one.health);
        put(speed, perSecond(one.messages_per_s));
        put(waiting, one.lag_messages ? `${count(one.lag_messages)} waiting` : "");
        mark(root, "title", `${one.health}${one.reason ? `: ${one.reason}` : ""}`);
      },
    };
  };
  return (view) => {
    keep(parent, links, view.streams, (stream) => stream.name, make);
    show(parent, view.streams.length > 1);
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
      put(value, figure(stream));
      put(load, share === null ? "–" : `${percent(share)} ${word}`);
      root.style.setProperty("--share", share ?? 0);
    },
  };
}

// An error that is over is worth a line for a while; `status` remembers it for longer.
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
      put(cells.name, one.name);
      put(cells.state, one.state);
      mark(cells.state, "data-health", one.health);
      put(cells.rate, perSecond(one.messages_per_s));
      put(cells.restarts, count(one.restarts));
      put(cells.cpu, percent(one.cpu));
      put(cells.memory, bytes(one.rss_bytes));
      mark(cells.up, "data-is", one.pid ? "up" : "");
      put(cells.up, one.pid ? seconds(one.uptime_s) : one.retry_in_s === null ? "–" : `again in ${seconds(one.retry_in_s)}`);
      // Where a stream has one worker only, its reason stands above already.
      const said = one.reason ? (one.isAlone ? "" : one.reason) : lastError(one);
      put(note, said);
      show(second, said !== "");
    },
  };
}

function reason([word, number]) {
  const figure = el("strong");
  return {
    root: el("li", "", el("span", "", word.replaceAll("_", " ")), figure),
    update: ([, many]) => put(figure, count(many)),
    number,
  };
}

export function card(first) {
  const heading = el("h2", "", first.name);
  const source = el("span", "source");
  const health = el("span", "pill");
  const pace = el("p", "pace");
  const why = el("p", "why");
  const stages = STAGES.map(stage);
  const pipeline = el("ol", "pipeline", ...stages.map((one) => one.root));
  pipeline.setAttribute("aria-label", "Where the time goes");
  const moved = spark("messages a second", "throughput", perSecond);
  const lag = spark("messages waiting", "lag", count);
  const latency = bars("latency", "from JetStream's timestamp to the commit, over the last 5 minutes");
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
  const root = el("article", "stream", el("div", "head", heading, health, source, pace), why, pipeline,
    el("div", "charts", moved.root, lag.root, latency.root, dead), body);

  root.id = anchor(first.name);

  function update(stream, past, bounds) {
    put(health, stream.health);
    mark(health, "data-health", stream.health);
    put(source, stream.source && stream.source !== stream.name ? `stream ${stream.source}` : "");
    put(pace, stream.pace ?? "");
    put(why, stream.reason ?? "");
    show(why, Boolean(stream.reason));
    for (const one of stages) one.update(stream);
    moved.update(past, past.of(stream.name, "messages_per_s"));
    lag.update(past, past.of(stream.name, "lag_messages"));
    latency.update(bounds, stream.latency);
    const all = Object.entries(stream.dead_by_reason);
    put(dead.querySelector(".value"), stream.dead_letters_total ? count(stream.dead_letters_total) : "none");
    keep(reasons, words, all, ([word]) => word, reason);
    // The table's heading is its first child: bodies are kept in one of their own.
    keepWorkers(stream.workers);
  }

  function keepWorkers(list) {
    const bodies = { children: [...table.tBodies], insertBefore: (part, before) => table.insertBefore(part, before) };
    keep(bodies, workers, list.map((one) => ({ ...one, isAlone: list.length === 1 })), (one) => one.name, worker);
  }
  return { root, update };
}
