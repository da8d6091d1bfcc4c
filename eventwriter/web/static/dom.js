// Helpers to create and update DOM elements. Text is only ever set as text, so data is never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

// Creates an HTML element with children.
export function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// Creates an SVG element with attributes.
export function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Sets the text if it differs, so that unchanged values cost no rendering.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Sets an attribute if it differs.
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// Shows or hides an element.
export function setVisible(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Reconciles the children of an element with a list of items: creates, removes, reorders and updates one part per key.
export function reconcile(parent, known, items, key, make) {
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
