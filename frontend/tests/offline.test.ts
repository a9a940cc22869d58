import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NetworkError } from "../src/lib/api";
import { forgetKept, keptPairs } from "../src/lib/offline";
import { uuid } from "../src/lib/uuid";
import { Feed } from "../src/islands/player/feed";
import { Kept } from "../src/islands/player/kept";
import type { Assignment, Pair } from "../src/islands/player/types";

function assignment(n: number): Assignment {
  const side = { sprite_url: `/media/${n}`, columns: 5 };
  return { lease: `lease-${n}`, comparison: n, expires_at: "", prompt: "", frame_count: 13, fps: 3, width: 96, height: 96, start_frame_url: "", left: side, right: side };
}
const fetched = (n: number) => ({ assignment: assignment(n), left: new Blob([`left ${n}`]), right: new Blob([`right ${n}`]) });
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

/** The locks of several pages of one browser. */
function locks(): { page: () => { request: unknown; query: unknown }; close: (name: string) => void; held: Set<string> } {
  const held = new Set<string>();
  const page = () => ({
    request: async (name: string, run: () => Promise<unknown>) => {
      held.add(name);
      return run().finally(() => held.delete(name));
    },
    query: async () => ({ held: [...held].map((name) => ({ name })) }),
  });
  return { page, close: (name) => held.delete(name), held };
}

beforeEach(() => forgetKept(""));
afterEach(() => vi.unstubAllGlobals());

describe("Kept", () => {
  it("gives a new page the pairs of one that is gone, in their order, and not those of one that lives", async () => {
    const browser = locks();
    vi.stubGlobal("navigator", { locks: browser.page() });
    const gone = new Kept("7");
    const [lock] = [...browser.held];
    gone.put(fetched(1));
    await settled();
    gone.put(fetched(2));
    new Kept("7").put(fetched(3));
    await settled();
    browser.close(lock!);
    const found = await new Kept("7").takeOver();
    expect(found.map(({ assignment }) => assignment.comparison)).toEqual([1, 2]);
    expect(await new Kept("7").takeOver(), "they belong to the page that took them").toEqual([]);
  });

  it("does not give one person's pairs to another", async () => {
    new Kept("7").put(fetched(1));
    await settled();
    expect(await new Kept("8").takeOver()).toEqual([]);
    await forgetKept("8");
    expect(await keptPairs.list("7"), "somebody else signed in").toEqual([]);
  });

  it("drops what is too old and what is done", async () => {
    const first = new Kept("7");
    first.put(fetched(1));
    first.put(fetched(2));
    await settled();
    first.drop("lease-1");
    await settled();
    const [entry] = await keptPairs.list("7");
    await keptPairs.put({ ...entry!, keptAt: Date.now() - 2 * 3600_000 });
    expect(await new Kept("7").takeOver()).toEqual([]);
    expect(await keptPairs.list("7")).toEqual([]);
  });
});

describe("Feed with a network that is gone from the start", () => {
  function offline(answered: string[] = []): Feed {
    const kept = new Kept("7");
    return new Feed({
      next: async () => {
        throw new NetworkError(null);
      },
      heartbeat: async (leases) => leases,
      fetchBlob: async () => new Blob(),
      decode: async (one) => ({ assignment: one, left: { close: () => {} }, right: { close: () => {} } }) as unknown as Pair,
      isAnswered: (lease) => answered.includes(lease),
      onBroken: () => {},
      onChange: () => {},
      kept: { put: (one) => kept.put(one), drop: (...leases) => kept.drop(...leases), takeOver: () => kept.takeOver(), release: () => {} },
    });
  }

  it("goes on with the pairs of the page before, but not with those that were answered", async () => {
    const before = new Kept("7");
    for (const n of [1, 2, 3]) {
      before.put(fetched(n));
      await settled();
    }
    const feed = offline(["lease-1"]);
    await feed.fill();
    expect(feed.status).toBe("offline");
    expect([feed.take()?.assignment.comparison, feed.take()?.assignment.comparison, feed.take()]).toEqual([2, 3, null]);
    feed.stop();
  });

  it("has nothing when nothing was kept", async () => {
    const feed = offline();
    await feed.fill();
    expect([feed.hasNext, feed.status]).toEqual([false, "offline"]);
    feed.stop();
  });
});

describe("uuid", () => {
  it("makes version 4 UUIDs where the browser has no randomUUID (plain http)", () => {
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    const made = new Set(Array.from({ length: 100 }, uuid));
    expect(made.size).toBe(100);
    for (const one of made) expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
