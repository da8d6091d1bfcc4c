// Two small charts: a line over the last minutes, and bars of a distribution. Plain SVG and plain boxes.

import { el, mark, put, svg } from "./dom.js";
import { clock, count, seconds } from "./format.js";

const WIDTH = 300;
const HEIGHT = 56;

// A line over time, with its highest value in words; the pointer reads any single one.
export function spark(title, kind, say) {
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const area = svg("path", { class: "area" });
  const hand = svg("line", { class: "hand", y1: 0, y2: HEIGHT, visibility: "hidden", "vector-effect": "non-scaling-stroke" });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  drawing.append(area, line, hand);
  const value = el("span", "value");
  const since = el("span");
  const root = el("div", `chart ${kind}`, el("div", "title", el("h4", "", title), value), drawing,
    el("div", "axis", since, el("span", "", "now")));
  let shown = { at_s: [], values: [], span_s: 900, end_s: 0, most: 0 };
  let pointed = null;

  const x = (at_s) => WIDTH * (1 - (shown.end_s - at_s) / shown.span_s);

  function tell() {
    mark(hand, "visibility", pointed === null ? "hidden" : "visible");
    if (pointed === null) return put(value, shown.most ? `most ${say(shown.most)}` : "");
    put(value, `${say(shown.values[pointed])} at ${clock(shown.at_s[pointed])}`);
    for (const end of ["x1", "x2"]) mark(hand, end, x(shown.at_s[pointed]).toFixed(1));
  }

  drawing.addEventListener("pointermove", (event) => {
    if (!shown.at_s.length) return;
    const box = drawing.getBoundingClientRect();
    const wanted = shown.end_s - shown.span_s * (1 - (event.clientX - box.left) / box.width);
    pointed = shown.at_s.reduce((best, at_s, at) =>
      Math.abs(at_s - wanted) < Math.abs(shown.at_s[best] - wanted) ? at : best, 0);
    tell();
  });
  drawing.addEventListener("pointerleave", () => { pointed = null; tell(); });

  function update(past, values) {
    const most = values.reduce((a, b) => Math.max(a, b ?? 0), 0);
    shown = { at_s: past.at_s, span_s: past.span_s, end_s: past.end_s, values, most };
    if (pointed !== null && pointed >= values.length) pointed = null;
    const scale = (HEIGHT - 4) / (most || 1);
    const lines = [];
    const areas = [];
    let begin = null;
    values.forEach((one, at) => {
      const point = `${x(past.at_s[at]).toFixed(1)} ${(HEIGHT - 1 - (one ?? 0) * scale).toFixed(1)}`;
      if (one === null) return close(at - 1);
      if (begin === null) { begin = at; lines.push(`M${point}`); areas.push(`M${x(past.at_s[at]).toFixed(1)} ${HEIGHT}L${point}`); }
      else { lines.push(`L${point}`); areas.push(`L${point}`); }
      if (at === values.length - 1) close(at);
    });
    function close(at) {
      if (begin !== null) areas.push(`L${x(past.at_s[at]).toFixed(1)} ${HEIGHT}Z`);
      begin = null;
    }
    mark(line, "d", lines.join(""));
    mark(area, "d", areas.join(""));
    const last = values[values.length - 1] ?? null;
    put(since, `${seconds(past.span_s)} ago`);
    mark(drawing, "aria-label", `${title} over the last ${seconds(past.span_s)}: now ${say(last)}, most ${say(most)}`);
    tell();
  }
  return { root, update };
}

// Bars of a histogram: counts between bounds, and within what time the half and nearly all were.
export function bars(title, hint) {
  const plot = el("div", "plot");
  plot.setAttribute("role", "img");
  const value = el("span", "value");
  const from = el("span");
  const to = el("span");
  const heading = el("h4", "", title);
  heading.title = hint;
  const root = el("div", "chart bars", el("div", "title", heading, value), plot, el("div", "axis", from, to));

  function update(bounds, counts) {
    const total = counts.reduce((a, b) => a + b, 0);
    const first = counts.findIndex(Boolean);
    const last = counts.findLastIndex(Boolean);
    const begin = Math.max(0, Math.min(first, last - 4));
    const end = Math.min(counts.length - 1, Math.max(last, begin + 4));
    const most = Math.max(1, ...counts);
    const shown = total ? counts.slice(begin, end + 1) : [];
    while (plot.children.length > shown.length) plot.lastChild.remove();
    while (plot.children.length < shown.length) plot.append(el("i"));
    shown.forEach((one, at) => {
      const bar = plot.children[at];
      bar.style.setProperty("--height", one ? Math.max(0.03, one / most) : 0);
      mark(bar, "title", `${range(bounds, begin + at)}: ${count(one)} messages`);
    });
    put(from, total ? (begin ? `over ${seconds(bounds[begin - 1])}` : "0") : "");
    put(to, total ? (end < bounds.length ? `${seconds(bounds[end])}` : "longer") : "");
    put(value, total ? `half ${within(bounds, counts, total, 0.5)} · 99 % ${within(bounds, counts, total, 0.99)}` : "nothing yet");
    mark(plot, "aria-label", `${hint}: ${value.textContent}`);
  }
  return { root, update };
}

function range(bounds, at) {
  if (at === 0) return `up to ${seconds(bounds[0])}`;
  return at < bounds.length ? `${seconds(bounds[at - 1])} to ${seconds(bounds[at])}` : `over ${seconds(bounds[at - 1])}`;
}

function within(bounds, counts, total, share) {
  let sum = 0;
  for (let at = 0; at < bounds.length; at += 1) {
    sum += counts[at];
    if (sum >= share * total) return `in ${seconds(bounds[at])}`;
  }
  return `over ${seconds(bounds[bounds.length - 1])}`;
}
