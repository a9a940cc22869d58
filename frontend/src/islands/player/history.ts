import type { Outbox } from "../../lib/outbox";
import type { LabelingServer } from "./server";
import { emptyDetails, type Assignment, type Details } from "./types";

interface Item {
  id: string;
  /** Given today, by this browser's clock. */
  today: boolean;
  /** Unknown for answers of an earlier page: the server tells when it is undone. */
  assignment: Assignment | null;
  details: Details;
}
const UNDO_LAST = 10;

/** The last ten answers, which can be taken back in turn. */
export class History {
  private items: Item[] = [];

  constructor(
    private readonly outbox: Outbox,
    private readonly server: LabelingServer,
  ) {}

  /** Starts with what the server says can be undone, newest first. What has reached it meanwhile stays. */
  load(undoable: { choice: string; created_at: string }[]): void {
    const today = new Date().toDateString();
    const known = new Set(undoable.map(({ choice }) => choice));
    const loaded = [...undoable].reverse().map(({ choice, created_at }) => ({ id: choice, today: new Date(created_at).toDateString() === today, assignment: null, details: emptyDetails() }));
    this.items = [...loaded, ...this.items.filter(({ id }) => !known.has(id))].slice(-UNDO_LAST);
  }

  get newest(): Item | undefined {
    return this.items[this.items.length - 1];
  }

  push(id: string, assignment: Assignment, details: Details): void {
    this.items.push({ id, today: true, assignment, details });
    if (this.items.length > UNDO_LAST) this.items.shift();
  }

  /** An answer of an earlier page has reached the server: it can be taken back like those of this page. */
  sent(id: string): void {
    if (this.items.some((item) => item.id === id)) return;
    this.items.push({ id, today: true, assignment: null, details: emptyDetails() });
    if (this.items.length > UNDO_LAST) this.items.shift();
  }

  forget(id: string): void {
    this.items = this.items.filter((item) => item.id !== id);
  }

  /**
   * Takes an answer back: out of the outbox if it did not leave yet, else from the server. Returns the assignment to answer again, and
   * whether the server had counted the answer.
   * Raises ApiError when the server refuses, NetworkError or Error when it can not be done now.
   */
  async takeBack(item: Item): Promise<{ assignment: Assignment; counted: boolean }> {
    if (item.assignment && (await this.outbox.cancel(item.id))) {
      this.forget(item.id);
      return { assignment: item.assignment, counted: false };
    }
    if (this.outbox.has(item.id)) await this.outbox.flush();
    if (this.outbox.has(item.id)) throw new Error("the answer is on its way; try again in a moment.");
    const { assignment } = await this.server.undo(item.id);
    this.forget(item.id);
    return { assignment, counted: true };
  }
}
