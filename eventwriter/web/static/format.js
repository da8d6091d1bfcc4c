// Formats numbers for people. Every function accepts null for an unknown value.

const NONE = "–";
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 100_000) return grouped.format(value);
  for (const [divisor, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= divisor) return `${(value / divisor).toPrecision(3)} ${unit}`;
  }
  return grouped.format(value);
}

export function rate(value) {
  if (value === null || value === undefined) return NONE;
  return value > 0 && value < 10 ? value.toFixed(1) : count(Math.round(value));
}

export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${Number((value * 1000).toPrecision(2))} ms`;
  if (value < 60) return `${Number(value.toPrecision(2))} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor(value / 60) % 60} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor(value / 3600) % 24} h`;
}

export const micros = (value) => (value === null ? NONE : seconds(value / 1e6));
export const millis = (value) => (value === null ? NONE : seconds(value / 1e3));

export function percent(share) {
  if (share === null || share === undefined) return NONE;
  if (share > 0 && share < 0.01) return "<1 %";
  return `${Math.round(share * 100)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  return value < 2 ** 30 ? `${Math.round(value / 2 ** 20)} MiB` : `${(value / 2 ** 30).toFixed(1)} GiB`;
}

export function clock(at_s) {
  return new Date(at_s * 1000).toLocaleTimeString([], { hour12: false });
}
