import { describe, expect, it } from "vitest";
import { Session } from "../src/islands/player/session";
import { Stopwatch } from "../src/lib/stopwatch";

const MINUTE = 60_000;

function storage(): Pick<Storage, "getItem" | "setItem"> {
  const values = new Map<string, string>();
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) };
}

describe("Session", () => {
  it("suggests a break after half an hour, and again after as long", () => {
    let now = 1e12;
    const session = new Session(30, () => now, storage());
    for (let i = 0; i < 29; i += 1) {
      now += MINUTE;
      session.active();
    }
    expect(session.breakDue).toBe(false);
    now += MINUTE;
    expect(session.breakDue).toBe(true);
    session.later();
    expect(session.breakDue).toBe(false);
    now += 30 * MINUTE;
    expect(session.breakDue).toBe(true);
  });

  it("goes on over a reload, and begins anew after a pause", () => {
    let now = 1e12;
    const kept = storage();
    new Session(30, () => now, kept);
    now += 4 * MINUTE;
    const reloaded = new Session(30, () => now, kept);
    expect(Math.round(reloaded.minutes)).toBe(4);
    now += 6 * MINUTE;
    reloaded.active();
    expect(reloaded.minutes).toBe(0);
  });
});

describe("Stopwatch", () => {
  it("counts only while it runs", () => {
    let now = 0;
    const watch = new Stopwatch(() => now);
    watch.start();
    now = 100;
    watch.stop();
    now = 500;
    watch.start();
    watch.start();
    now = 550;
    expect(watch.ms).toBe(150);
  });
});
