import "fake-indexeddb/auto";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, NetworkError } from "../src/lib/api";
import { Outbox, type OutboxEntry, type OutboxOptions } from "../src/lib/outbox";
import { IndexedDbStore } from "../src/lib/outbox-store";

let count = 0;
function entry(person = "7", over: Partial<OutboxEntry> = {}): OutboxEntry {
  count += 1;
  return { id: `id-${count}`, person, kind: "choice", body: { n: count }, lease: `lease-${count}`, createdAt: count, attempts: 0, ...over };
}

/** An outbox on real (fake) IndexedDB whose timers run only when told to. */
function make(send: OutboxOptions["send"], over: Partial<OutboxOptions> = {}): { outbox: Outbox; timers: { run: () => void; ms: number }[]; store: IndexedDbStore } {
  const timers: { run: () => void; ms: number }[] = [];
  const store = new IndexedDbStore();
  const outbox = new Outbox({ person: "7", store, send, whoAmI: async () => "7", setTimer: (run, ms) => timers.push({ run, ms }), clearTimer: () => {}, ...over });
  return { outbox, timers, store };
}

beforeEach(async () => {
  localStorage.clear();
  const store = new IndexedDbStore();
  for (const person of ["7", "8"]) for (const one of await store.list(person)) await store.delete(one.id);
});

describe("Outbox", () => {
  it("sends in order and forgets what the server has", async () => {
    const seen: string[] = [];
    const { outbox, store } = make(async (one) => seen.push(one.id));
    const all = [entry(), entry(), entry()];
    for (const one of all) await outbox.add(one);
    await outbox.flush();
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(await store.list("7")).toEqual([]);
    expect(outbox.state).toBe("ready");
  });

  it("keeps everything while offline and sends it once the network is back", async () => {
    let online = false;
    const got: string[] = [];
    const { outbox, timers, store } = make(async (one) => {
      if (!online) throw new NetworkError(null);
      got.push(one.id);
    });
    for (let i = 0; i < 10; i += 1) await outbox.add(entry());
    await outbox.flush();
    expect(outbox.waiting).toHaveLength(10);
    expect(outbox.state).toBe("offline");
    expect(await store.list("7")).toHaveLength(10);
    online = true;
    timers.at(-1)?.run();
    await vi.waitFor(() => expect(outbox.waiting).toHaveLength(0));
    expect(new Set(got).size).toBe(10);
    expect(got).toHaveLength(10);
  });

  it("goes on after a reload with what the page before left", async () => {
    const before = make(async () => {
      throw new NetworkError(null);
    });
    const one = entry();
    await before.outbox.add(one);
    await before.outbox.flush();
    const got: OutboxEntry[] = [];
    const after = make(async (sent) => got.push(sent));
    await after.outbox.start();
    await after.outbox.flush();
    expect(got.map(({ id, body }) => ({ id, body }))).toEqual([{ id: one.id, body: one.body }]);
  });

  it("sends again, with the same key, when the answer was lost", async () => {
    const stored = new Map<string, unknown>();
    let lose = true;
    const { outbox } = make(async (one) => {
      stored.set(one.id, one.body);
      if (lose) {
        lose = false;
        throw new NetworkError(null);
      }
    });
    await outbox.add(entry());
    await outbox.flush();
    await outbox.flush();
    expect(stored.size).toBe(1);
    expect(outbox.waiting).toHaveLength(0);
  });

  it("waits for a new sign-in when the session has expired", async () => {
    let person = "";
    const send = vi.fn(async () => {
      if (person === "") throw new ApiError(403, "", "Authentication credentials were not provided.", null);
    });
    const { outbox } = make(send, { whoAmI: async () => person });
    await outbox.add(entry());
    await outbox.flush();
    expect(outbox.state).toBe("signed_out");
    expect(outbox.waiting).toHaveLength(1);
    person = "7";
    await outbox.flush();
    expect(outbox.waiting).toHaveLength(0);
  });

  it("never sends in another person's name", async () => {
    const send = vi.fn(async () => {
      throw new ApiError(403, "", "CSRF Failed", null);
    });
    const { outbox } = make(send, { whoAmI: async () => "8" });
    await outbox.add(entry());
    await outbox.flush();
    expect(outbox.state).toBe("wrong_person");
    const other = make(async () => expect.unreachable(), { person: "8" });
    await other.outbox.start();
    await other.outbox.flush();
    expect(other.outbox.waiting).toHaveLength(0);
    expect(await other.store.list("7")).toHaveLength(1);
  });

  it("asks who is signed in before it believes that a lease is not its own", async () => {
    const { outbox } = make(async () => {
      throw new ApiError(404, "not_found", "There is no such lease of yours.", null);
    }, { whoAmI: async () => "8" });
    await outbox.add(entry());
    await outbox.flush();
    expect([outbox.state, outbox.waiting.length, outbox.refused.length]).toEqual(["wrong_person", 1, 0]);
  });

  it("does not even try while someone else is signed in", async () => {
    const send = vi.fn();
    const { outbox } = make(send, { isMe: () => false });
    await outbox.add(entry());
    await outbox.flush();
    expect(send).not.toHaveBeenCalled();
    expect(outbox.state).toBe("wrong_person");
  });

  it("tries once more with a fresh token, and then believes the refusal", async () => {
    const refused = vi.fn();
    const send = vi.fn(async () => {
      throw new ApiError(403, "", "Your role does not allow this.", null);
    });
    const { outbox } = make(send, { onRefused: refused });
    await outbox.add(entry());
    await outbox.flush();
    expect(send).toHaveBeenCalledTimes(2);
    expect(refused).toHaveBeenCalledOnce();
    expect(outbox.refused).toHaveLength(1);
  });

  it("keeps a refused answer with its reason, and does not send it again", async () => {
    const send = vi.fn(async () => {
      throw new ApiError(409, "lease_lost", "Someone else has it.", null);
    });
    const { outbox, store } = make(send);
    const one = entry();
    await outbox.add(one);
    await outbox.flush();
    await outbox.flush();
    expect(send).toHaveBeenCalledOnce();
    expect((await store.list("7"))[0]?.refused?.code).toBe("lease_lost");
    expect(outbox.holdsLease(one.lease)).toBe(false);
    await outbox.dismiss(one.id);
    expect(await store.list("7")).toEqual([]);
  });

  it("does not let one entry that breaks the server hold up the others", async () => {
    const got: string[] = [];
    const { outbox } = make(async (one) => {
      if (one.body["bad"]) throw new ApiError(500, "", "", null);
      got.push(one.id);
    });
    const bad = entry("7", { body: { bad: true } });
    const good = entry();
    await outbox.add(bad);
    await outbox.add(good);
    await outbox.flush();
    expect(got).toEqual([good.id]);
    expect(outbox.waiting.map(({ id }) => id)).toEqual([bad.id]);
  });

  it("waits as long as the server asks it to", async () => {
    const { outbox, timers } = make(async () => {
      throw new ApiError(429, "", "", 17);
    });
    await outbox.add(entry());
    await outbox.flush();
    expect(timers.at(-1)?.ms).toBe(17_000);
  });

  it("takes back what was not sent, and only that", async () => {
    let release: () => void = () => {};
    const { outbox, store } = make(() => new Promise<void>((resolve) => (release = resolve)));
    const first = entry();
    const second = entry();
    await outbox.add(first);
    await outbox.add(second);
    await vi.waitFor(() => expect(outbox.onItsWay).toBe(first.id));
    const late = outbox.cancel(first.id);
    expect(await outbox.cancel(second.id)).toBe(true);
    release();
    expect(await late, "the server has it").toBe(false);
    await vi.waitFor(() => expect(outbox.waiting).toHaveLength(0));
    expect(await store.list("7")).toEqual([]);
  });

  it("takes back what was on its way when the network failed, and never sends it", async () => {
    let fail: () => void = () => {};
    const sent: string[] = [];
    const { outbox, store, timers } = make((one) => new Promise<void>((_, reject) => (sent.push(one.id), (fail = () => reject(new NetworkError(null))))));
    const only = entry();
    await outbox.add(only);
    await vi.waitFor(() => expect(outbox.onItsWay).toBe(only.id));
    const cancelled = outbox.cancel(only.id);
    fail();
    expect(await cancelled).toBe(true);
    for (const { run } of timers) run();
    await outbox.flush();
    expect(sent).toEqual([only.id]);
    expect(await store.list("7")).toEqual([]);
  });

  it("does not bring back what was taken back while the store was read", async () => {
    const memory = new Map<string, OutboxEntry>();
    let slow: Promise<void> = Promise.resolve();
    const store = {
      list: async () => {
        const found = [...memory.values()];
        await slow;
        return found;
      },
      put: async (one: OutboxEntry) => void memory.set(one.id, one),
      delete: async (id: string) => void memory.delete(id),
    };
    let online = false;
    const sent: string[] = [];
    const send = async (one: OutboxEntry): Promise<void> => {
      if (!online) throw new NetworkError(null);
      sent.push(one.id);
    };
    const { outbox } = make(send, { store });
    const only = entry();
    await outbox.add(only);
    await outbox.flush();
    online = true;
    let read: () => void = () => {};
    slow = new Promise((resolve) => (read = resolve));
    const pass = outbox.flush(); // it has read the entry, and is about to send it
    slow = Promise.resolve();
    expect(await outbox.cancel(only.id)).toBe(true);
    read();
    await pass;
    expect(sent).toEqual([]);
  });

  it("sends from memory when the browser refuses to store", async () => {
    const got: string[] = [];
    const broken = { list: async () => [], put: async () => Promise.reject(new Error("quota")), delete: async () => {} };
    const outbox = new Outbox({ person: "7", store: broken, send: async (one) => got.push(one.id), whoAmI: async () => "7" });
    await expect(outbox.add(entry())).rejects.toThrow("quota");
    await vi.waitFor(() => expect(got).toHaveLength(1));
  });
});

describe("the store", () => {
  /** A page that is reloaded in the moment of the answer: what it wrote to IndexedDB never comes to its end. */
  const cutOff = (): IndexedDbStore => {
    const store = new IndexedDbStore();
    (store as unknown as { entries: { put: () => Promise<void> } }).entries.put = () => new Promise(() => {});
    return store;
  };

  it("has an answer before the next event, for a page that is reloaded right away", async () => {
    const one = entry();
    void cutOff().put(one);
    expect(await new IndexedDbStore().list("7")).toEqual([one]);
    expect(await new IndexedDbStore().list("8")).toEqual([]);
    const got: string[] = [];
    const { outbox, store } = make(async (sent) => got.push(sent.id));
    await outbox.start();
    await vi.waitFor(() => expect(outbox.waiting).toHaveLength(0));
    expect(got).toEqual([one.id]);
    expect(await store.list("7")).toEqual([]);
  });

  it("keeps no second copy of what IndexedDB has", async () => {
    const store = new IndexedDbStore();
    await store.put(entry());
    expect(localStorage.length).toBe(0);
    expect(await store.list("7")).toHaveLength(1);
  });

  it("forgets what was taken back before it was written", async () => {
    const one = entry();
    const store = cutOff();
    void store.put(one);
    await store.delete(one.id);
    expect(await new IndexedDbStore().list("7")).toEqual([]);
  });
});
