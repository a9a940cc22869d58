import uPlot from "uplot";
import { api } from "../lib/api";
import { reliabilityData, toCsv, type ChartData, type LineChart, type ReliabilityChart } from "../lib/chart-data";
import { h } from "../lib/dom";
import { follow } from "../lib/events";
import { token } from "../lib/theme";

type ChartProps = ChartData & { url?: string; topic?: string; height?: number };

const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 4]];

/** A line, point or reliability chart, with its values under the cursor and PNG and CSV to take away. */
export function mountChart(root: HTMLElement, props: ChartProps): () => void {
  const plotBox = h("div", { class: "chart-plot", role: "img", "aria-label": `Chart: ${props.title ?? ""}. The values are in the CSV file.` });
  const legend = h("ul", { class: "chart-legend" });
  const title = h("h3", {}, props.title ?? "");
  const save = (kind: "png" | "csv") => h("button", { class: "button button-quiet button-small", type: "button", onclick: () => void download(kind) }, kind.toUpperCase());
  root.classList.add("chart");
  root.replaceChildren(h("div", { class: "chart-head" }, title, h("div", { class: "row row-s" }, save("png"), save("csv"))), plotBox, legend);

  let data: ChartData = props;
  let plot: uPlot | null = null;

  const draw = (): void => {
    plot?.destroy();
    plot = null;
    plotBox.replaceChildren();
    legend.replaceChildren();
    title.textContent = data.title ?? "";
    const lines = data.kind === "reliability" ? reliabilityData(data as ReliabilityChart) : (data as LineChart);
    if (!lines.x || lines.x.values.length === 0) {
      plotBox.append(h("p", { class: "muted small" }, "No values yet."));
      return;
    }
    plot = new uPlot(options(lines, plotBox.clientWidth || 480, props.height ?? 240, legend, data.kind ?? "line"), columns(lines), plotBox);
  };
  const load = async (): Promise<void> => {
    if (!props.url) return;
    try {
      data = await api<ChartData>(props.url);
      draw();
    } catch (error) {
      if (!plot) plotBox.replaceChildren(h("p", { class: "muted small" }, `The values could not be loaded. ${(error as Error).message}`));
    }
  };
  const download = async (kind: "png" | "csv"): Promise<void> => {
    const name = (data.title ?? "chart").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "chart";
    if (kind === "csv") saveBlob(new Blob([toCsv(data)], { type: "text/csv" }), `${name}.csv`);
    else if (plot) {
      const copy = document.createElement("canvas");
      copy.width = plot.ctx.canvas.width;
      copy.height = plot.ctx.canvas.height;
      const context = copy.getContext("2d");
      if (!context) return;
      context.fillStyle = token("--surface");
      context.fillRect(0, 0, copy.width, copy.height);
      context.drawImage(plot.ctx.canvas, 0, 0);
      copy.toBlob((blob) => blob && saveBlob(blob, `${name}.png`));
    }
  };

  if (props.url) void load();
  else draw();
  const resize = new ResizeObserver(() => {
    if (plot && plotBox.clientWidth > 0 && Math.abs(plot.width - plotBox.clientWidth) > 1) plot.setSize({ width: plotBox.clientWidth, height: props.height ?? 240 });
  });
  resize.observe(plotBox);
  document.addEventListener("dreamfork:theme", draw);
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const stop = props.topic
    ? follow(props.topic, {
        onEvent: () => {
          waiting ??= setTimeout(() => {
            waiting = undefined;
            void load();
          }, 1000);
        },
      })
    : undefined;
  return () => {
    stop?.();
    clearTimeout(waiting);
    resize.disconnect();
    document.removeEventListener("dreamfork:theme", draw);
    plot?.destroy();
  };
}

/** x, then for each series its values and, if it has an interval, low and high. */
function columns(chart: LineChart): uPlot.AlignedData {
  const result: (number | null)[][] = [];
  for (const series of chart.series) {
    result.push(series.values);
    if (series.low && series.high) result.push(series.low, series.high);
  }
  return [chart.x.values, ...result] as uPlot.AlignedData;
}

function options(chart: LineChart, width: number, height: number, legend: HTMLElement, kind: string): uPlot.Options {
  const grid = { stroke: token("--line"), width: 1 };
  const axis = { stroke: token("--ink-2"), font: `12px ${token("--font")}`, labelFont: `12px ${token("--font")}`, grid, ticks: grid, labelSize: 18 };
  const { names } = chart.x;
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  const whiskers: Whisker[] = [];
  const values: { column: number; box: HTMLElement }[] = [];
  chart.series.forEach((one, index) => {
    const stroke = one.reference ? token("--ink-3") : token(`--series-${((one.color ?? index) % 6) + 1}`);
    // Lines differ by their dashes too, for who does not tell colours apart; a chart that gives its own meaning to dashes says so.
    const dash = one.dashed || one.reference ? [5, 5] : kind === "line" && one.dashed === undefined ? (DASHES[index % DASHES.length] ?? []) : [];
    const column = series.length;
    const dots = (kind === "points" || kind === "reliability") && !one.reference;
    series.push({
      label: one.name,
      stroke,
      width: one.reference ? 1 : 2,
      dash,
      spanGaps: true,
      ...(kind === "points" && !one.reference ? { paths: () => null } : {}),
      points: { show: (dots && !names) || one.values.filter((value) => value !== null).length < 2, size: 8, fill: stroke },
    });
    if (one.low && one.high) {
      const hidden: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push(hidden, hidden);
      // At a name several series stand side by side instead of over one another.
      if (dots) whiskers.push({ column, stroke, shift: names ? (index - (chart.series.length - 1) / 2) * 12 : 0, dot: names !== undefined });
      else bands.push({ series: [column + 2, column + 1], fill: withAlpha(stroke, 0.16) });
    }
    const box = h("span", {});
    const swatch = h("span", { class: "chart-swatch" });
    swatch.style.color = stroke;
    if (dash.length > 0) swatch.style.borderTopStyle = "dashed";
    if (!one.reference) values.push({ column, box });
    legend.append(h("li", {}, swatch, one.name, box));
  });
  const xBox = h("span", { class: "muted" });
  const range = (_plot: uPlot, low: number, high: number): [number, number] => {
    if (names) return [0.5, names.length + 0.5];
    const [from, to] = kind === "reliability" ? [0, 1] : [chart.x.min ?? low, chart.x.max ?? high];
    const room = kind === "points" ? (to - from || 1) * 0.03 : 0; // a point on the edge is drawn whole
    return [from - room, to + room];
  };
  legend.append(h("li", {}, xBox));
  return {
    width,
    height,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: {
      x: { time: false, range },
      y: {
        distr: chart.y.log ? 3 : 1,
        range: (_plot, low, high) => {
          if (chart.y.log) return [low, high];
          const room = (high - low || Math.abs(high) || 1) * 0.08;
          return [chart.y.min ?? low - room, chart.y.max ?? high + room];
        },
      },
    },
    axes: [
      // Things with names stand at 1, 2, 3 …: nothing lies between them.
      { ...axis, label: chart.x.label ?? "", size: 32, ...(names ? { splits: () => names.map((_, index) => index + 1), values: () => (names.length > 8 ? names.map((_, index) => String(index + 1)) : names) } : {}) },
      { ...axis, label: chart.y.label ?? "", size: 54 },
    ],
    series,
    bands,
    hooks: {
      draw: [(plot) => { drawWhiskers(plot, whiskers); drawMarkers(plot, chart.markers ?? []); }],
      setCursor: [
        (plot) => {
          const index = plot.cursor.idx;
          xBox.textContent = index === null || index === undefined ? "" : `${chart.x.label ?? "x"} ${names?.[index] ?? format(plot.data[0][index])}`;
          for (const { column, box } of values) box.textContent = index === null || index === undefined ? "" : format(plot.data[column]?.[index]);
        },
      ],
    },
  };
}

interface Whisker {
  column: number;
  stroke: string;
  /** CSS pixels to the right of its x. */
  shift: number;
  /** Draw the value too: uPlot's own points can not be shifted. */
  dot: boolean;
}

function drawWhiskers(plot: uPlot, whiskers: Whisker[]): void {
  const { ctx } = plot;
  ctx.save();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([]);
  for (const { column, stroke, shift, dot } of whiskers) {
    ctx.strokeStyle = stroke;
    ctx.fillStyle = stroke;
    plot.data[0].forEach((x, index) => {
      const low = plot.data[column + 1]?.[index];
      const high = plot.data[column + 2]?.[index];
      if (low === null || low === undefined || high === null || high === undefined) return;
      const at = plot.valToPos(x, "x", true) + shift * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(at, plot.valToPos(low, "y", true));
      ctx.lineTo(at, plot.valToPos(high, "y", true));
      ctx.stroke();
      const value = plot.data[column]?.[index];
      if (!dot || value === null || value === undefined) return;
      ctx.beginPath();
      ctx.arc(at, plot.valToPos(value, "y", true), 4 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    });
  }
  ctx.restore();
}

function drawMarkers(plot: uPlot, markers: { x: number; label: string }[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = token("--ink-3");
  ctx.fillStyle = token("--ink-2");
  ctx.font = `${11 * devicePixelRatio}px ${token("--font")}`;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const marker of markers) {
    const at = plot.valToPos(marker.x, "x", true);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(marker.label, at + 4 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
  }
  ctx.restore();
}

function withAlpha(color: string, alpha: number): string {
  const match = /^#([0-9a-f]{6})$/i.exec(color);
  return match ? `${color}${Math.round(alpha * 255).toString(16).padStart(2, "0")}` : color;
}

function format(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(4);
}

function saveBlob(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
