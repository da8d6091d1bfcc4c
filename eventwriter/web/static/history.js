// The last fifteen minutes of each stream, as the daemon sends them; this page keeps them across a restart of the daemon.

export class History {
  at_s = [];
  end_s = Date.now() / 1000;
  #span_s_max = 900;
  #streams = new Map();
  #step_s = 5;

  // Adds points; points that are already known stay unchanged.
  add(history) {
    if (!history) return;
    this.#span_s_max = history.span_s;
    this.#step_s = history.step_s;
    const newest = this.at_s.at(-1) ?? -Infinity;
    history.at_s.forEach((at_s, at) => {
      if (at_s <= newest) return;
      this.#addGap(at_s);
      this.#push(at_s, (name, key) => history.streams[name]?.[key]?.[at] ?? null, Object.keys(history.streams));
    });
    this.#removeOld();
  }

  // Sets the right edge of the charts.
  setEnd(at_s) {
    this.end_s = at_s;
  }

  // Time span of a chart: that of the known points, so that the first minutes of a daemon fill the chart.
  get span_s() {
    return Math.min(this.#span_s_max, Math.max(60, this.end_s - (this.at_s[0] ?? this.end_s)));
  }

  // Returns one series of one stream.
  of(name, key) {
    return this.#streams.get(name)?.[key] ?? this.at_s.map(() => null);
  }

  // Returns the sum of a series over all streams.
  sum(key) {
    const all = [...this.#streams.values()].map((stream) => stream[key]);
    return this.at_s.map((_, at) => {
      const known = all.map((values) => values[at]).filter((value) => value !== null);
      return known.length ? known.reduce((a, b) => a + b, 0) : null;
    });
  }

  // Adds an unknown point after an interruption, so that the line is not drawn across it.
  #addGap(at_s) {
    const newest = this.at_s.at(-1);
    if (newest !== undefined && at_s - newest > 1.5 * this.#step_s) this.#push(newest + this.#step_s, () => null, []);
  }

  #push(at_s, value, names) {
    for (const name of names) {
      if (!this.#streams.has(name)) {
        const unknown = () => this.at_s.map(() => null);
        this.#streams.set(name, { messages_per_s: unknown(), lag_messages: unknown() });
      }
    }
    this.at_s.push(at_s);
    for (const [name, stream] of this.#streams) {
      for (const key of Object.keys(stream)) stream[key].push(value(name, key));
    }
  }

  #removeOld() {
    while (this.at_s.length && this.at_s[0] < this.at_s.at(-1) - this.#span_s_max) {
      this.at_s.shift();
      for (const stream of this.#streams.values()) for (const key of Object.keys(stream)) stream[key].shift();
    }
    for (const [name, stream] of this.#streams) {
      if (Object.values(stream).every((values) => values.every((value) => value === null))) this.#streams.delete(name);
    }
  }
}
