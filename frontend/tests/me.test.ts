import { beforeEach, describe, expect, it, vi } from "vitest";
import { count, loadMe, PreferenceSaver } from "../src/islands/player/me";
import type { LabelingServer } from "../src/islands/player/server";
import type { Me, Preferences } from "../src/islands/player/types";
import { ApiError, NetworkError } from "../src/lib/api";

const project = { criteria: [], ask_strength: true, ask_success: true, lease_seconds: 120, break_after_minutes: 30 };
const me = (preferences: Preferences): Me => ({ stats: { today: 1, total: 5, pace_s: null, session_minutes: 0 }, undoable: [], preferences, project });

/** A server that keeps preferences, as long as it can be reached. */
function make(): { server: LabelingServer; kept: { preferences: Preferences; trouble: Error | null; saved: number } } {
  const kept = { preferences: {} as Preferences, trouble: null as Error | null, saved: 0 };
  const reach = (): void => {
    if (kept.trouble) throw kept.trouble;
  };
  const server = {
    me: async () => (reach(), me({ ...kept.preferences })),
    savePreferences: async (preferences: Preferences) => {
      reach();
      kept.preferences = preferences;
      kept.saved += 1;
    },
  };
  return { server: server as unknown as LabelingServer, kept };
}

beforeEach(() => {
  localStorage.clear();
  vi.useFakeTimers();
});

describe("preferences", () => {
  it("are kept when the page is reloaded before they were sent", async () => {
    const { server, kept } = make();
    new PreferenceSaver(server, "7").save({ keys: { left: "a" } });
    expect(kept.saved).toBe(0);
    const again = await loadMe(server, "7");
    expect(again.preferences).toEqual({ keys: { left: "a" } });
    await new PreferenceSaver(server, "7").send();
    expect(kept.preferences).toEqual({ keys: { left: "a" } });
    await new PreferenceSaver(server, "7").send();
    expect(kept.saved).toBe(1);
    kept.preferences = { keys: { left: "g" } }; // changed on another machine
    expect((await loadMe(server, "7")).preferences).toEqual({ keys: { left: "g" } });
  });

  it("that were changed without a network reach the server later, and only in their person's name", async () => {
    const { server, kept } = make();
    const saver = new PreferenceSaver(server, "7");
    kept.trouble = new NetworkError(null);
    saver.save({ rate: 2 });
    await vi.advanceTimersByTimeAsync(1000);
    expect((await loadMe(server, "7")).preferences).toEqual({ rate: 2 });
    expect((await loadMe(server, "8")).preferences).toEqual({});
    kept.trouble = null;
    await new PreferenceSaver(server, "8").send();
    expect(kept.saved).toBe(0);
    await saver.send();
    expect(kept.preferences).toEqual({ rate: 2 });
  });

  it("that the server refuses are not sent for ever", async () => {
    const { server, kept } = make();
    const saver = new PreferenceSaver(server, "7");
    kept.trouble = new ApiError(422, "invalid", "too long", null);
    saver.save({ rate: 2 });
    await vi.advanceTimersByTimeAsync(1000);
    kept.trouble = null;
    await saver.send();
    expect(kept.saved).toBe(0);
  });
});

describe("count", () => {
  it("goes down again with an answer that is taken back, today's only when it was of today", () => {
    const one = me({});
    count(one, 1);
    count(one, -1);
    expect(one.stats).toMatchObject({ today: 1, total: 5 });
    count(one, -1, false);
    expect(one.stats).toMatchObject({ today: 1, total: 4 });
    count(one, -1);
    count(one, -1);
    expect(one.stats.today).toBe(0);
    count(null, 1);
  });
});
