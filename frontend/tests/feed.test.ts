import { describe, expect, it, vi } from "vitest";
import { ApiError, NetworkError } from "../src/lib/api";
import { Feed, type FeedOptions } from "../src/islands/player/feed";
import type { Assignment, Pair } from "../src/islands/player/types";

function assignment(n: number): Assignment {
  const side = { sprite_url: `/media/${n}`, columns: 5 };
  return { lease: `lease-${n}`, comparison: n, expires_at: "", prompt: "", frame_count: 13, fps: 3, width: 96, height: 96, start_frame_url: "", left: side, right: side };
}

/** A server with `total` pairs that hands out at most `cap` unanswered leases, and then the held ones again. */
function make(total: number, over: Partial<FeedOptions> = {}, cap = 99): { feed: Feed; answered: Set<string>; next: ReturnType<typeof vi.fn>; closed: string[] } {
  let given = 0;
  const answered = new Set<string>();
  const closed: string[] = [];
  const held: Assignment[] = [];
  const next = vi.fn(async (count: number) => {
    const open = held.filter((one) => !answered.has(one.lease));
    const room = Math.min(count, total - given, cap - open.length);
    const fresh = Array.from({ length: Math.max(room, 0) }, () => assignment((given += 1)));
    held.push(...fresh);
    const out = fresh.length === 0 && open.length >= cap ? open.slice(0, count) : fresh;
    return { status: out.length ? ("ok" as const) : ("all_done" as const), retry_after_s: 10, assignments: out };
  });
  const feed = new Feed({
    next,
    heartbeat: async (leases) => leases,
    fetchBlob: async () => new Blob(),
    decode: async (one) => {
      const sprite = { close: () => closed.push(one.lease) } as unknown as Pair["left"];
      return { assignment: one, left: sprite, right: sprite };
    },
    isAnswered: (lease) => answered.has(lease),
    onBroken: () => {},
    onChange: () => {},
    ...over,
  });
  return { feed, answered, next, closed };
}

describe("Feed", () => {
  it("says what it holds when it asks for more", async () => {
    const { feed, next } = make(40);
    await feed.fill();
    feed.take();
    await feed.fill();
    const calls = next.mock.calls as unknown as [number, string[]][];
    expect(calls[0]?.[1]).toEqual([]);
    expect(calls.at(-1)?.[1].length).toBeGreaterThan(0);
    expect(feed.leases).toEqual(expect.arrayContaining(calls.at(-1)?.[1] ?? []));
  });

  it("has the next pair at hand without waiting", async () => {
    const { feed } = make(40);
    await feed.fill();
    expect(feed.size).toBe(14);
    expect(feed.take()?.assignment.comparison).toBe(1);
    expect(feed.take()?.assignment.comparison).toBe(2);
  });

  it("says when all is done", async () => {
    const { feed } = make(2);
    await feed.fill();
    feed.take();
    feed.take();
    expect(feed.take()).toBeNull();
    expect(feed.status).toBe("all_done");
    feed.stop();
  });

  it("does not take a held lease for a new one", async () => {
    const { feed, next } = make(40, {}, 4);
    await feed.fill();
    expect(feed.leases).toEqual(["lease-1", "lease-2", "lease-3", "lease-4"]);
    expect(next.mock.calls.length).toBeLessThan(5);
    feed.stop();
  });

  it("does not show a pair again whose answer is still on its way", async () => {
    const { feed, answered } = make(4, { isAnswered: (lease) => lease === "lease-1" || answered.has(lease) });
    await feed.fill();
    expect(feed.leases).not.toContain("lease-1");
    feed.stop();
  });

  it("keeps leases whose frames could not be fetched for lack of a network", async () => {
    let online = false;
    const { feed } = make(3, {
      fetchBlob: async () => {
        if (!online) throw new NetworkError(null);
        return new Blob();
      },
    });
    await feed.fill();
    expect([feed.status, feed.size, feed.hasNext]).toEqual(["offline", 1, false]);
    online = true;
    await feed.fill();
    expect(feed.take()?.assignment.comparison).toBe(1);
    feed.stop();
  });

  it("reports a pair whose frames are missing, and goes on", async () => {
    const broken: number[] = [];
    const { feed } = make(3, {
      fetchBlob: async (url) => {
        if (url === "/media/1") throw new ApiError(404, "", "gone", null);
        return new Blob();
      },
      onBroken: (one) => broken.push(one.comparison),
    });
    await feed.fill();
    expect(broken).toEqual([1]);
    expect(feed.take()?.assignment.comparison).toBe(2);
    feed.stop();
  });

  it("drops a lost lease that waits, and keeps the one on the screen", async () => {
    const lost = new Set(["lease-1", "lease-3"]);
    const { feed, closed } = make(5, {
      heartbeat: async (leases) => leases.filter((lease) => !lost.has(lease)),
    });
    await feed.fill();
    feed.take();
    expect(await feed.heartbeat()).toBe(false);
    expect(feed.leases).toEqual(["lease-1", "lease-2", "lease-4", "lease-5"]);
    expect(closed).toContain("lease-3");
    feed.stop();
  });

  it("shows a pair that was put back first", async () => {
    const { feed } = make(5);
    await feed.fill();
    const first = feed.take();
    feed.putBack(first!);
    expect(feed.take()).toBe(first);
    feed.stop();
  });
});
