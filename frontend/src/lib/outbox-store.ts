import type { OutboxEntry, OutboxStore } from "./outbox";

const DATABASE = "dreamfork";
const STORE = "outbox";

/** The outbox in IndexedDB. Writes ask for strict durability: a resolved `put` is on the disk, not in a buffer. */
export class IndexedDbStore implements OutboxStore {
  private opened: Promise<IDBDatabase> | null = null;

  async list(person: string): Promise<OutboxEntry[]> {
    const database = await this.open();
    const entries = await done(database.transaction(STORE).objectStore(STORE).index("person").getAll(person) as IDBRequest<OutboxEntry[]>);
    return entries.sort((a, b) => a.createdAt - b.createdAt);
  }

  async put(entry: OutboxEntry): Promise<void> {
    await this.write((store) => store.put(entry));
  }

  async delete(id: string): Promise<void> {
    await this.write((store) => store.delete(id));
  }

  private async write(change: (store: IDBObjectStore) => IDBRequest): Promise<void> {
    const database = await this.open();
    const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
    change(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("The browser did not store the answer."));
    });
  }

  private open(): Promise<IDBDatabase> {
    this.opened ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" }).createIndex("person", "person");
      request.onsuccess = () => {
        request.result.onversionchange = () => request.result.close();
        request.result.onclose = () => (this.opened = null);
        resolve(request.result);
      };
      request.onerror = () => {
        this.opened = null;
        reject(request.error ?? new Error("The browser's storage could not be opened."));
      };
    });
    return this.opened;
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("The browser's storage could not be read."));
  });
}
