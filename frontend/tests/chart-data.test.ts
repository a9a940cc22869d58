import { describe, expect, it } from "vitest";
import { reliabilityData, toCsv } from "../src/lib/chart-data";

describe("chart data", () => {
  it("writes CSV with intervals, gaps and quoted names", () => {
    const csv = toCsv({ x: { label: "step", values: [0, 1] }, y: {}, series: [{ name: 'a "b", c', values: [1, null], low: [0.5, null], high: [2, null] }, { name: "=1+1", values: [3, 4] }] });
    expect(csv).toBe('step,"a ""b"", c","a ""b"", c low","a ""b"", c high",\'=1+1\r\n0,1,0.5,2,3\r\n1,,,,4\r\n');
  });

  it("writes the names of things that are not numbers", () => {
    const csv = toCsv({ x: { label: "version", values: [1, 2], names: ["base", "base-r1"] }, y: {}, series: [{ name: "contact", values: [0.5, 0.25] }] });
    expect(csv).toBe("version,contact\r\nbase,0.5\r\nbase-r1,0.25\r\n");
  });

  it("orders reliability bins and adds the diagonal", () => {
    const chart = reliabilityData({ kind: "reliability", bins: [{ predicted: 0.8, observed: 0.7, n: 4 }, { predicted: 0.2, observed: 0.3, n: 4 }] });
    expect(chart.x.values).toEqual([0, 0.2, 0.8, 1]);
    expect(chart.series[0]?.values).toEqual([null, 0.3, 0.7, null]);
    expect(chart.series[1]?.values).toEqual([0, 0.2, 0.8, 1]);
  });
});
