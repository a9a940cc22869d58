import { describe, expect, it } from "vitest";
import { History } from "../src/islands/player/history";
import type { LabelingServer } from "../src/islands/player/server";
import type { Outbox } from "../src/lib/outbox";

const outbox = { cancel: async () => false, has: () => false, flush: async () => {} } as unknown as Outbox;
const server = { undo: async (choice: string) => ({ assignment: { lease: `again-${choice}` } }) } as unknown as LabelingServer;
const at = new Date().toISOString();

describe("History", () => {
  it("keeps what reached the server while it was asked what can be undone", async () => {
    const history = new History(outbox, server);
    history.sent("late"); // of an earlier page, sent while the list was on its way
    history.load([{ choice: "new", created_at: at }, { choice: "old", created_at: "2020-01-01T00:00:00Z" }]);
    const order = [];
    for (let item = history.newest; item; item = history.newest) {
      order.push([item.id, item.today]);
      expect(await history.takeBack(item)).toMatchObject({ assignment: { lease: `again-${item.id}` }, counted: true });
    }
    expect(order).toEqual([["late", true], ["new", true], ["old", false]]);
  });

  it("has one of each, and ten at most", () => {
    const history = new History(outbox, server);
    history.sent("both");
    history.load(Array.from({ length: 10 }, (_, index) => ({ choice: index === 0 ? "both" : `c${index}`, created_at: at })));
    let count = 0;
    for (let item = history.newest; item; item = history.newest) {
      history.forget(item.id);
      count += 1;
    }
    expect(count).toBe(10);
  });
});
