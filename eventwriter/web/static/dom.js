// Making and changing elements. Text is always set as text: what comes from outside is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Writes only what is different: an unchanged page costs the browser nothing.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Keeps one child for each key, in order: makes what is new, removes what is gone, updates each.
export function keep(parent, known, items, key, make) {
  const wanted = new Set(items.map(key));
  for (const [name, part] of known) {
    if (!wanted.has(name)) {
      part.root.remove();
      known.delete(name);
    }
  }
  items.forEach((item, at) => {
    let part = known.get(key(item));
    if (!part) known.set(key(item), (part = make(item)));
    if (parent.children[at] !== part.root) parent.insertBefore(part.root, parent.children[at] ?? null);
    part.update(item);
  });
}
