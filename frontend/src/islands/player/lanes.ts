import { h } from "../../lib/dom";
import type { SegmentMarker } from "../../lib/segments";
import type { Side } from "./types";

/** Two rows of one cell per frame, under the scrubber: what was marked as worse on either side, and where the clip is. */
export class Lanes {
  readonly element: HTMLElement;
  private readonly rows: Record<Side, HTMLElement>;
  private cells: Record<Side, HTMLElement[]> = { left: [], right: [] };
  private drawn = "";

  constructor(
    private readonly seek: (frame: number) => void,
    private readonly remove: (side: Side, frame: number) => void,
  ) {
    this.rows = { left: h("div", { class: "lane lane-left" }), right: h("div", { class: "lane lane-right" }) };
    this.element = h("div", { class: "lanes", "aria-hidden": "true" }, this.rows.left, this.rows.right);
    this.element.addEventListener("click", (event) => {
      const cell = (event.target as HTMLElement).closest<HTMLElement>("[data-at]");
      if (!cell) return;
      const frame = Number(cell.dataset["at"]);
      if (cell.classList.contains("is-worse")) this.remove(cell.parentElement === this.rows.left ? "left" : "right", frame);
      else this.seek(frame);
    });
  }

  setFrames(count: number): void {
    if (this.cells.left.length === count) return;
    for (const side of ["left", "right"] as const) {
      this.cells[side] = Array.from({ length: count }, (_, at) => h("span", { class: "lane-cell", "data-at": at }));
      this.rows[side].replaceChildren(...this.cells[side]);
    }
    this.drawn = "";
  }

  draw(marker: SegmentMarker, frame: number): void {
    const { segments } = marker;
    const now = `${frame} ${JSON.stringify(segments)}`;
    if (now === this.drawn) return;
    this.drawn = now;
    for (const side of ["left", "right"] as const) {
      const own = segments.filter((one) => one.side === side);
      this.cells[side].forEach((cell, at) => {
        cell.classList.toggle("is-worse", own.some((one) => at >= one.from && at <= one.to));
        cell.classList.toggle("is-now", at === frame);
      });
    }
  }
}
