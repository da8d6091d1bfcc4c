// Two small charts, in plain SVG and HTML: a line over the last minutes, and a histogram.

import { el, setAttribute, setText, svg } from "./dom.js";
import { clock, count, seconds } from "./format.js";

const WIDTH = 300;
const HEIGHT = 56;

// A line over time, labelled with its maximum; the pointer shows single values.
export function sparkline(title, kind, format) {
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const area = svg("path", { class: "area" });
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden", "vector-effect": "non-scaling-stroke" });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  drawing.append(area, line, cursor);
  const value = el("span", "value");
  const since = el("span");
  const root = el("div", `chart ${kind}`, el("div", "title", el("h4", "", title), value), drawing,
    el("div", "axis", since, el("span", "", "now")));
  let shown = { at_s: [], values: [], span_s: 900, end_s: 0, max: 0 };
  let selected = null;

  const x = (at_s) => WIDTH * (1 - (shown.end_s - at_s) / shown.span_s);

  function updateLabel() {
    setAttribute(cursor, "visibility", selected === null ? "hidden" : "visible");
    if (selected === null) return setText(value, shown.max ? `max ${format(shown.max)}` : "");
    setText(value, `${format(shown.values[selected])} at ${clock(shown.at_s[selected])}`);
    for (const end of ["x1", "x2"]) setAttribute(cursor, end, x(shown.at_s[selected]).toFixed(1));
  }

  drawing.addEventListener("pointermove", (event) => {
    if (!shown.at_s.length) return;
    const box = drawing.getBoundingClientRect();
    const wanted = shown.end_s - shown.span_s * (1 - (event.clientX - box.left) / box.width);
    selected = shown.at_s.reduce((best, at_s, at) =>
      Math.abs(at_s - wanted) < Math.abs(shown.at_s[best] - wanted) ? at : best, 0);
    updateLabel();
  });
  drawing.addEventListener("pointerleave", () => { selected = null; updateLabel(); });

  function update(history, values) {
    const max = values.reduce((a, b) => Math.max(a, b ?? 0), 0);
    shown = { at_s: history.at_s, span_s: history.span_s, end_s: history.end_s, values, max };
    if (selected !== null && selected >= values.length) selected = null;
    const scale = (HEIGHT - 4) / (max || 1);
    const lines = [];
    const areas = [];
    let begin = null;
    values.forEach((one, at) => {
      const point = `${x(history.at_s[at]).toFixed(1)} ${(HEIGHT - 1 - (one ?? 0) * scale).toFixed(1)}`;
      if (one === null) return close(at - 1);
      if (begin === null) { begin = at; lines.push(`M${point}`); areas.push(`M${x(history.at_s[at]).toFixed(1)} ${HEIGHT}L${point}`); }
      else { lines.push(`L${point}`); areas.push(`L${point}`); }
      if (at === values.length - 1) close(at);
    });
    function close(at) {
      if (begin !== null) areas.push(`L${x(history.at_s[at]).toFixed(1)} ${HEIGHT}Z`);
      begin = null;
    }
    setAttribute(line, "d", lines.join(""));
    setAttribute(area, "d", areas.join(""));
    const last = values[values.length - 1] ?? null;
    setText(since, `${seconds(history.span_s)} ago`);
    setAttribute(drawing, "aria-label", `${title} over the last ${seconds(history.span_s)}: now ${format(last)}, maximum ${format(max)}`);
    updateLabel();
  }
  return { root, update };
}

// Histogram with its median and 99th percentile.
export function histogram(title, hint) {
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
    const max = Math.max(1, ...counts);
    const shown = total ? counts.slice(begin, end + 1) : [];
    while (plot.children.length > shown.length) plot.lastChild.remove();
    while (plot.children.length < shown.length) plot.append(el("i"));
    shown.forEach((one, at) => {
      const bar = plot.children[at];
      bar.style.setProperty("--height", one ? Math.max(0.03, one / max) : 0);
      setAttribute(bar, "title", `${range(bounds, begin + at)}: ${count(one)} messages`);
    });
    setText(from, total ? (begin ? `over ${seconds(bounds[begin - 1])}` : "0") : "");
    setText(to, total ? (end < bounds.length ? `${seconds(bounds[end])}` : "longer") : "");
    setText(value, total ? `50 % ${within(bounds, counts, total, 0.5)} · 99 % ${within(bounds, counts, total, 0.99)}` : "no messages yet");
    setAttribute(plot, "aria-label", `${hint}: ${value.textContent}`);
  }
  return { root, update };
}

// Returns the range of one bucket as text.
function range(bounds, at) {
  if (at === 0) return `up to ${seconds(bounds[0])}`;
  return at < bounds.length ? `${seconds(bounds[at - 1])} to ${seconds(bounds[at])}` : `over ${seconds(bounds[at - 1])}`;
}

// Returns the upper bound of the bucket that contains a quantile, as text.
function within(bounds, counts, total, quantile) {
  let sum = 0;
  for (let at = 0; at < bounds.length; at += 1) {
    sum += counts[at];
    if (sum >= quantile * total) return `in ${seconds(bounds[at])}`;
  }
  return `over ${seconds(bounds[bounds.length - 1])}`;
}
