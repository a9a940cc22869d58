import { h } from "../../lib/dom";
import { drawPath } from "../../lib/path-overlay";
import { zoomedView, type View } from "../../lib/sprite";
import type { Drawn, Pair, Side } from "./types";

export type StageView = "side" | "blink" | "difference";
export const VIEWS: { id: StageView; label: string }[] = [
  { id: "side", label: "Side by side" },
  { id: "blink", label: "Blink" },
  { id: "difference", label: "Difference" },
];
const ZOOMS = [1, 2, 4];
const BLINK_MS = 700; // well below three flashes a second

interface Panel {
  figure: HTMLElement;
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
}

/**
 * The two canvases, or the one in which the sides blink or are subtracted. Both sides are always drawn in the same call, with the same
 * frame index; the index that was drawn stands in `data-frame` of each canvas.
 */
export class Stage {
  readonly element: HTMLElement;
  view: StageView = "side";
  overlay = false;
  private zoom = 1;
  private centre = { x: 0.5, y: 0.5 };
  private pair: Pair | null = null;
  private reveal: Record<Side, Drawn> | null = null;
  private frame = 0;
  private blinkRight = false;
  private blinkTimer: ReturnType<typeof setInterval> | undefined;
  private readonly panels: Record<Side | "one", Panel>;
  private readonly blinkLabel = h("span", {});
  private readonly resize: ResizeObserver;

  constructor(private readonly reducedMotion: boolean) {
    const panel = (name: Side | "one", caption: Node, label: string): Panel => {
      const canvas = h("canvas", { role: "img", "aria-label": label, class: "stage-canvas" });
      const context = canvas.getContext("2d", { alpha: false });
      if (!context) throw new Error("This browser can not draw on a canvas.");
      const figure = h("figure", { class: `stage-panel stage-${name}` }, h("figcaption", {}, caption), canvas);
      this.watchPointer(canvas);
      return { figure, canvas, context };
    };
    this.panels = {
      left: panel("left", h("span", {}, "Left"), "Left rollout"),
      right: panel("right", h("span", {}, "Right"), "Right rollout"),
      one: panel("one", this.blinkLabel, "Both rollouts in one picture"),
    };
    this.element = h("div", { class: "stage" }, this.panels.left.figure, this.panels.right.figure, this.panels.one.figure);
    this.resize = new ResizeObserver(() => {
      if (this.fit()) this.draw(this.frame);
    });
    this.resize.observe(this.element);
    this.setView("side");
  }

  /** Shows a pair from now on and draws its frame at once. Zoom and view stay; the overlay is drawn only where paths are known. */
  show(pair: Pair | null, reveal: Record<Side, Drawn> | null, frame = 0): void {
    const sizeChanged = !this.pair || !pair || this.pair.assignment.width !== pair.assignment.width || this.pair.assignment.height !== pair.assignment.height;
    this.pair = pair;
    this.reveal = reveal;
    if (sizeChanged) this.fit();
    this.draw(frame);
  }

  setReveal(reveal: Record<Side, Drawn>): void {
    this.reveal = reveal;
    this.draw(this.frame);
  }

  draw(frame: number): void {
    this.frame = frame;
    const { pair } = this;
    if (!pair) {
      for (const { context } of Object.values(this.panels)) context.clearRect(0, 0, context.canvas.width, context.canvas.height);
      return;
    }
    const view = zoomedView(this.zoom, this.centre.x, this.centre.y);
    if (this.view === "side") {
      this.drawSide(this.panels.left, "left", frame, view);
      this.drawSide(this.panels.right, "right", frame, view);
    } else if (this.view === "blink") {
      this.drawSide(this.panels.one, this.blinkRight ? "right" : "left", frame, view);
    } else this.drawDifference(frame, view);
  }

  /** The view that comes after this one. */
  nextView(): StageView {
    const index = VIEWS.findIndex(({ id }) => id === this.view);
    return VIEWS[(index + 1) % VIEWS.length]?.id ?? "side";
  }

  setView(view: StageView): void {
    this.view = view;
    this.element.dataset["view"] = view;
    clearInterval(this.blinkTimer);
    this.blinkRight = false;
    this.labelBlink();
    // With reduced motion nothing blinks by itself: a click on the picture swaps the sides.
    if (view === "blink" && !this.reducedMotion) this.blinkTimer = setInterval(() => this.swapBlink(), BLINK_MS);
    this.fit();
    this.draw(this.frame);
  }

  nextZoom(): number {
    this.zoom = ZOOMS[(ZOOMS.indexOf(this.zoom) + 1) % ZOOMS.length] ?? 1;
    if (this.zoom === 1) this.centre = { x: 0.5, y: 0.5 };
    this.element.classList.toggle("is-zoomed", this.zoom > 1);
    this.draw(this.frame);
    return this.zoom;
  }

  describe(side: Side, text: string): void {
    this.panels[side].canvas.setAttribute("aria-label", text);
  }

  stop(): void {
    clearInterval(this.blinkTimer);
    this.resize.disconnect();
  }

  private drawSide(panel: Panel, side: Side, frame: number, view: View): void {
    if (!this.pair) return;
    this.pair[side].draw(panel.context, frame, view);
    panel.canvas.dataset["frame"] = String(frame);
    const revealed = this.reveal?.[side];
    if (this.overlay && revealed) drawPath(panel.context, revealed.path_pixels, frame, view, !revealed.verdict.accepted);
  }

  /** Where the sides are the same it is black; what differs is amplified four times. */
  private drawDifference(frame: number, view: View): void {
    if (!this.pair) return;
    const { context, canvas } = this.panels.one;
    this.pair.left.draw(context, frame, view);
    context.globalCompositeOperation = "difference";
    this.pair.right.draw(context, frame, view);
    context.globalCompositeOperation = "lighter";
    context.drawImage(canvas, 0, 0);
    context.drawImage(canvas, 0, 0);
    context.globalCompositeOperation = "source-over";
    canvas.dataset["frame"] = String(frame);
  }

  private swapBlink(): void {
    this.blinkRight = !this.blinkRight;
    this.labelBlink();
    this.draw(this.frame);
  }

  private labelBlink(): void {
    const { figure } = this.panels.one;
    if (this.view === "difference") {
      this.blinkLabel.textContent = "Difference, four times amplified";
      figure.dataset["side"] = "";
      return;
    }
    this.blinkLabel.textContent = this.blinkRight ? "Right" : "Left";
    figure.dataset["side"] = this.blinkRight ? "right" : "left";
  }

  /**
   * Gives each visible canvas a backing store of a whole multiple of the frame, at least as large as it is shown: every pixel of a small
   * frame then is a square of the same size. Reads layout, so it runs on resize and not while playing.
   */
  private fit(): boolean {
    if (!this.pair) return false;
    const { width, height } = this.pair.assignment;
    let changed = false;
    for (const { canvas, context } of Object.values(this.panels)) {
      const shown = canvas.clientWidth * (window.devicePixelRatio || 1);
      if (shown === 0) continue;
      const scale = Math.min(Math.max(Math.ceil(shown / width), 1), Math.max(1, Math.floor(2048 / width)));
      if (canvas.width === width * scale && canvas.height === height * scale) continue;
      canvas.width = width * scale;
      canvas.height = height * scale;
      context.imageSmoothingEnabled = false;
      changed = true;
    }
    return changed;
  }

  /** Both sides pan together when zoomed in; a click on the blinking picture swaps it. */
  private watchPointer(canvas: HTMLCanvasElement): void {
    let from: { x: number; y: number } | null = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.zoom === 1 || event.button !== 0) return;
      from = { x: event.clientX, y: event.clientY };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const half = 0.5 / this.zoom;
      const keep = (value: number): number => Math.min(Math.max(value, half), 1 - half);
      const shown = canvas.clientWidth * this.zoom;
      this.centre = { x: keep(this.centre.x - (event.clientX - from.x) / shown), y: keep(this.centre.y - (event.clientY - from.y) / shown) };
      from = { x: event.clientX, y: event.clientY };
      this.draw(this.frame);
    });
    const end = (): void => {
      from = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("click", () => {
      if (this.view === "blink" && this.reducedMotion) this.swapBlink();
    });
  }
}
