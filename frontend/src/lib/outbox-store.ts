import { PersonStore } from "./idb";
import type { OutboxEntry, OutboxStore } from "./outbox";

const JOURNAL = "dreamfork.outbox.";

/**
 * The outbox in IndexedDB. Writes ask for strict durability: a resolved `put` is on the disk, not in a buffer.
 *
 * Such a write takes its time, and a page that is reloaded meanwhile takes it along. So an entry is first written to localStorage, which is
 * done before the next event of the page, and stays there until IndexedDB has it.
 */
export class IndexedDbStore implements OutboxStore {
  private readonly entries = new PersonStore<OutboxEntry>("dreamfork", "outbox", "id", "strict");

  /** Fails only when neither place can be read. */
  async list(person: string): Promise<OutboxEntry[]> {
    const noted = journal().filter((entry) => entry.person === person);
    const stored = await this.entries.list(person).catch((error: unknown) => {
      if (noted.length === 0) throw error;
      return [];
    });
    const known = new Set(stored.map(({ id }) => id));
    return [...stored, ...noted.filter(({ id }) => !known.has(id))].sort((a, b) => a.createdAt - b.createdAt);
  }

  async put(entry: OutboxEntry): Promise<void> {
    note(entry);
    await this.entries.put(entry);
    unnote(entry.id);
  }

  async delete(id: string): Promise<void> {
    unnote(id);
    await this.entries.delete(id);
  }
}

function note(entry: OutboxEntry): void {
  try {
    localStorage.setItem(JOURNAL + entry.id, JSON.stringify(entry));
  } catch {
    // Full or blocked: IndexedDB alone has to do.
  }
}

function unnote(id: string): void {
  try {
    localStorage.removeItem(JOURNAL + id);
  } catch {
    // Nothing was written there either.
  }
}

function journal(): OutboxEntry[] {
  try {
    const keys = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index) ?? "");
    return keys.filter((key) => key.startsWith(JOURNAL)).map((key) => JSON.parse(localStorage.getItem(key) ?? "") as OutboxEntry);
  } catch {
    return [];
  }
}
