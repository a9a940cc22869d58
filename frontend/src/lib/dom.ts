type Attributes = Record<string, string | number | boolean | null | undefined | EventListener>;
type Child = Node | string | number | null | undefined | false;

/**
 * Builds an element: `h("button", {class: "button", type: "button", onclick: run}, "Go")`. `on...` adds a listener, `true` an empty
 * attribute, `false`, `null` and `undefined` none. Text is never parsed as HTML. There is no way to set a style: the page's policy forbids it.
 */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the line icons, hidden from screen readers: its button carries the label. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const icons = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  back: "M15 6l-6 6 6 6",
  forward: "M9 6l6 6-6 6",
  start: "M18 6l-8 6 8 6zM6 6v12",
  loop: "M17 4l3 3-3 3M4 11V9a2 2 0 0 1 2-2h14M7 20l-3-3 3-3M20 13v2a2 2 0 0 1-2 2H4",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  close: "M6 6l12 12M18 6L6 18",
} as const;

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Shows or hides an element and tells whether that changed anything. */
export function setHidden(element: HTMLElement, hidden: boolean): boolean {
  if (element.hidden === hidden) return false;
  element.hidden = hidden;
  return true;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Runs something once the next frame has been painted, or soon if the page is hidden and paints nothing. */
export function afterPaint(run: () => void): void {
  let done = false;
  const once = (): void => {
    if (done) return;
    done = true;
    run();
  };
  requestAnimationFrame(() => setTimeout(once));
  setTimeout(once, 500);
}
