import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mountEvents } from "../src/islands/events";
import type { follow } from "../src/lib/events";

const followed = vi.hoisted(() => ({ told: null as unknown }));
vi.mock("../src/lib/events", () => ({
  follow: (_topic: string, told: unknown) => {
    followed.told = told;
    return () => {};
  },
}));

const happen = (kind: string): void => (followed.told as Parameters<typeof follow>[1]).onEvent({ id: 1, kind, data: {}, created_at: "2026-01-01T00:00:00Z" });

describe("events", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("asks for a refresh at once, and again after the last event of a burst", () => {
    const root = document.createElement("div");
    const changed = vi.fn();
    root.addEventListener("dreamfork:changed", changed);
    mountEvents(root, { topic: "round:1" });
    happen("stage");
    expect(changed).toHaveBeenCalledTimes(1);
    happen("stage");
    happen("ended");
    expect(changed).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(1000);
    expect(changed).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(5000);
    expect(changed).toHaveBeenCalledTimes(2);
    happen("more");
    expect(changed).toHaveBeenCalledTimes(3);
  });

  it("passes each event on by its kind, and lists it when asked", () => {
    const root = document.createElement("div");
    const ended = vi.fn();
    root.addEventListener("dreamfork:event:ended", ended);
    mountEvents(root, { topic: "round:1", log: true });
    happen("stage");
    happen("ended");
    expect(ended).toHaveBeenCalledTimes(1);
    expect(root.querySelectorAll("li")).toHaveLength(2);
  });
});
