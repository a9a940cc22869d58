import { PersonStore } from "./idb";
import type { OutboxEntry, OutboxStore } from "./outbox";

/** The outbox in IndexedDB. Writes ask for strict durability: a resolved `put` is on the disk, not in a buffer. */
export class IndexedDbStore implements OutboxStore {
  private readonly entries = new PersonStore<OutboxEntry>("dreamfork", "outbox", "id", "strict");

  async list(person: string): Promise<OutboxEntry[]> {
    return (await this.entries.list(person)).sort((a, b) => a.createdAt - b.createdAt);
  }

  put(entry: OutboxEntry): Promise<void> {
    return this.entries.put(entry);
  }

  delete(id: string): Promise<void> {
    return this.entries.delete(id);
  }
}
