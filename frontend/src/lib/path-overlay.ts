import type { View } from "./sprite";

export interface Check {
  name: string;
  value?: number | null;
  limit?: number | null;
  margin?: number | null;
  ok: boolean;
}
export interface Verdict {
  accepted: boolean;
  checks: Check[];
}

/**
 * Draws the inferred path over a frame: the part already gone solid, the rest dotted, a ring where the robot is.
 * `path` holds one point per frame, in 0..1 of the frame. A path that breaks a kinematic limit is drawn with crosses as well as in another colour.
 */
export function drawPath(context: CanvasRenderingContext2D, path: [number, number][], frame: number, view: View, broken: boolean): void {
  const { width, height } = context.canvas;
  const points = path.map(([x, y]) => [((x - view.x) / view.size) * width, ((y - view.y) / view.size) * height] as const);
  if (points.length === 0) return;
  const unit = Math.max(width / 96, 2);
  const line = (from: number, to: number, dash: number[]): void => {
    context.setLineDash(dash);
    for (const [color, size] of [["rgb(0 0 0 / 0.75)", unit * 1.7], [broken ? "#ff8a7d" : "#ffffff", unit * 0.8]] as const) {
      context.strokeStyle = color;
      context.lineWidth = size;
      context.beginPath();
      for (let i = from; i <= to; i += 1) {
        const point = points[i];
        if (!point) continue;
        if (i === from) context.moveTo(point[0], point[1]);
        else context.lineTo(point[0], point[1]);
      }
      context.stroke();
    }
  };
  context.save();
  context.lineCap = "round";
  context.lineJoin = "round";
  const here = Math.min(frame, points.length - 1);
  line(here, points.length - 1, [unit * 0.1, unit * 2.2]);
  line(0, here, []);
  context.setLineDash([]);
  if (broken) {
    for (const [x, y] of points) cross(context, x, y, unit * 1.1);
  }
  const now = points[here];
  if (now) {
    for (const [color, size] of [["rgb(0 0 0 / 0.75)", unit * 1.7], ["#ffffff", unit * 0.8]] as const) {
      context.strokeStyle = color;
      context.lineWidth = size;
      context.beginPath();
      context.arc(now[0], now[1], unit * 2.4, 0, Math.PI * 2);
      context.stroke();
    }
  }
  context.restore();
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.strokeStyle = "#ff8a7d";
  context.lineWidth = size * 0.6;
  context.beginPath();
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x + size, y - size);
  context.lineTo(x - size, y + size);
  context.stroke();
}

/** One line per kinematic check, the broken ones first: "speed 1.42 of 1.20 ✕". */
export function checkLines(verdict: Verdict | null | undefined): { text: string; ok: boolean }[] {
  if (!verdict) return [];
  const number = (value: number | null | undefined): string => (typeof value === "number" ? value.toPrecision(3) : "–");
  return [...verdict.checks]
    .sort((a, b) => Number(a.ok) - Number(b.ok))
    .map((check) => ({ ok: check.ok, text: `${check.ok ? "✓" : "✕"} ${check.name.replaceAll("_", " ")} ${number(check.value)} of ${number(check.limit)}` }));
}
