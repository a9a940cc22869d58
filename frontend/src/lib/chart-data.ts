export interface Series {
  name: string;
  values: (number | null)[];
  low?: (number | null)[];
  high?: (number | null)[];
  /** Dashed or solid; left out, lines are told apart by dashes of their own. */
  dashed?: boolean;
  /** Which of the colours, from 0; left out, its place in the list. */
  color?: number;
  /** A line to compare with, such as the diagonal of a reliability plot. */
  reference?: boolean;
}
export interface LineChart {
  kind?: "line" | "points";
  title?: string;
  /** `names` stand at 1, 2, 3 … for things that are not numbers. */
  x: { label?: string; values: number[]; min?: number; max?: number; names?: string[] };
  y: { label?: string; min?: number | null; max?: number | null; log?: boolean };
  series: Series[];
  markers?: { x: number; label: string }[];
}
export interface ReliabilityChart {
  kind: "reliability";
  title?: string;
  bins: { predicted: number; observed: number; low?: number | null; high?: number | null; n?: number }[];
}
export type ChartData = LineChart | ReliabilityChart;

/** Observed frequency over predicted probability (both 0..1), with the diagonal on which a calibrated predictor lies. */
export function reliabilityData(chart: ReliabilityChart): LineChart {
  const bins = [...chart.bins].sort((a, b) => a.predicted - b.predicted);
  if (bins.length === 0) return { x: { values: [] }, y: {}, series: [] };
  const xs = [0, ...bins.map((bin) => bin.predicted), 1];
  const pad = <T>(values: T[]): (T | null)[] => [null, ...values, null];
  const intervals = bins.some((bin) => typeof bin.low === "number" && typeof bin.high === "number");
  return {
    title: chart.title ?? "",
    x: { label: "predicted", values: xs },
    y: { label: "observed", min: 0, max: 1 },
    series: [
      {
        name: "observed",
        values: pad(bins.map((bin) => bin.observed)),
        ...(intervals ? { low: pad(bins.map((bin) => bin.low ?? null)), high: pad(bins.map((bin) => bin.high ?? null)) } : {}),
      },
      { name: "calibrated", values: xs, reference: true },
    ],
  };
}

/** The chart's values as RFC 4180 CSV. */
export function toCsv(chart: ChartData): string {
  if (chart.kind === "reliability") {
    return rows([["predicted", "observed", "low", "high", "n"], ...chart.bins.map((bin) => [bin.predicted, bin.observed, bin.low ?? null, bin.high ?? null, bin.n ?? null])]);
  }
  const head: (string | number | null)[] = [chart.x.label || "x"];
  for (const series of chart.series) {
    head.push(series.name);
    if (series.low && series.high) head.push(`${series.name} low`, `${series.name} high`);
  }
  const body = chart.x.values.map((x, index) => {
    const row: (string | number | null)[] = [chart.x.names?.[index] ?? x];
    for (const series of chart.series) {
      row.push(series.values[index] ?? null);
      if (series.low && series.high) row.push(series.low[index] ?? null, series.high[index] ?? null);
    }
    return row;
  });
  return rows([head, ...body]);
}

function rows(table: (string | number | null)[][]): string {
  return table.map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function cell(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  // A leading = + - @ would be run as a formula by a spreadsheet.
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}
