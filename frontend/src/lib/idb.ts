/** A database of this browser with one store whose entries belong to a person. It is opened when it is first needed, and again when the browser closed it. */
export class PersonStore<T> {
  private opened: Promise<IDBDatabase> | null = null;

  constructor(
    private readonly database: string,
    private readonly store: string,
    private readonly keyPath: string,
    /** "strict": a resolved write is on the disk, not in a buffer. */
    private readonly durability: "strict" | "relaxed",
  ) {}

  async list(person: string): Promise<T[]> {
    const database = await this.open();
    return done(database.transaction(this.store).objectStore(this.store).index("person").getAll(person) as IDBRequest<T[]>);
  }

  async put(...entries: T[]): Promise<void> {
    await this.write((store) => entries.forEach((entry) => store.put(entry)));
  }

  async delete(...keys: string[]): Promise<void> {
    await this.write((store) => keys.forEach((key) => store.delete(key)));
  }

  /** Deletes what belongs to anybody but `person`; with "" everything. */
  async deleteOthers(person: string): Promise<void> {
    await this.write((store) => {
      const cursor = store.openCursor();
      cursor.onsuccess = () => {
        const at = cursor.result;
        if (!at) return;
        if (!person || (at.value as { person?: string }).person !== person) at.delete();
        at.continue();
      };
    });
  }

  private async write(change: (store: IDBObjectStore) => void): Promise<void> {
    const database = await this.open();
    const transaction = database.transaction(this.store, "readwrite", { durability: this.durability });
    change(transaction.objectStore(this.store));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("The browser did not store it."));
    });
  }

  private open(): Promise<IDBDatabase> {
    this.opened ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(this.database, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(this.store, { keyPath: this.keyPath }).createIndex("person", "person");
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
