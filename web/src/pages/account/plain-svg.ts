/**
 * A picture from the hub, rebuilt from shapes alone: whatever else an SVG can hold (scripts, links, styles)
 * has no business here.
 */

const NAMESPACE = 'http://www.w3.org/2000/svg';
const SHAPES = new Set(['svg', 'g', 'path', 'rect']);
const ATTRIBUTES = [
  'viewBox',
  'd',
  'x',
  'y',
  'width',
  'height',
  'fill',
  'transform',
  'shape-rendering',
  'stroke',
];

export function plainSvg(text: string): SVGElement | null {
  const parsed = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
  return copy(parsed);
}

function copy(from: Element): SVGElement | null {
  if (from.namespaceURI !== NAMESPACE || !SHAPES.has(from.localName)) return null;
  const to = document.createElementNS(NAMESPACE, from.localName);
  for (const name of ATTRIBUTES) {
    const value = from.getAttribute(name);
    if (value !== null && !value.includes('url(')) to.setAttribute(name, value);
  }
  for (const child of from.children) {
    const shape = copy(child);
    if (shape) to.append(shape);
  }
  return to;
}
