import { ApiError, NetworkError } from "./api";

/** One thing to tell the server, kept until the server has it. `id` is the Idempotency-Key. */
export interface OutboxEntry {
  id: string;
  /** Who did it. Entries of someone else who used this browser are kept for them and never sent in another name. */
  person: string;
  kind: string;
  body: Record<string, unknown>;
  /** The lease that it answers, so that a lease handed out again is not shown again. */
  lease: string;
  createdAt: number;
  attempts: number;
  /** Why the server did not want it; such an entry is not sent again. */
  refused?: { status: number; code: string; detail: string };
}

export interface OutboxStore {
  list(person: string): Promise<OutboxEntry[]>;
  put(entry: OutboxEntry): Promise<void>;
  delete(id: string): Promise<void>;
}

/** What keeps entries from being sent; "server" is a server that answers with errors or asks to wait. */
export type OutboxState = "ready" | "offline" | "server" | "signed_out" | "wrong_person";

export interface OutboxOptions {
  person: string;
  store: OutboxStore;
  /** Sends one entry. Raises ApiError or NetworkError. */
  send: (entry: OutboxEntry) => Promise<unknown>;
  /** Asks the server who is signed in ("" for nobody), taking a fresh CSRF token on the way. Raises NetworkError. */
  whoAmI: () => Promise<string>;
  /** Whether requests are made in this person's name at all; asked before each pass. */
  isMe?: () => boolean;
  onSent?: (entry: OutboxEntry, result: unknown) => void;
  onRefused?: (entry: OutboxEntry) => void;
  onChange?: () => void;
  /** Lets one tab send at a time. */
  exclusive?: <T>(run: () => Promise<T>) => Promise<T>;
  setTimer?: (run: () => void, ms: number) => unknown;
  clearTimer?: (timer: unknown) => void;
}

const RETRY_MS = [1000, 2000, 4000, 8000, 15_000, 30_000];

/**
 * Answers wait here, in the order in which they were given, until the server acknowledged them. Nothing leaves the store before that:
 * a reload, a crash, a lost network, an expired session and a restarted server all only delay it. A request whose answer was lost is
 * simply sent again; the server answers the original to a key that it knows.
 */
export class Outbox {
  private entries: OutboxEntry[] = [];
  private stateValue: OutboxState = "ready";
  private sending: { id: string; attempt: Promise<unknown> } | null = null;
  private running: Promise<void> | null = null;
  private again = false;
  private failures = 0;
  private timer: unknown = null;
  private readonly inMemory = new Set<string>(); // added, but the store has not yet confirmed
  private readonly gone = new Set<string>(); // deleted here, but a read of the store that began before may still bring them

  constructor(private readonly options: OutboxOptions) {}

  get state(): OutboxState {
    return this.stateValue;
  }
  /** Entries that the server does not have yet. */
  get waiting(): readonly OutboxEntry[] {
    return this.entries.filter((entry) => !entry.refused);
  }
  get refused(): readonly OutboxEntry[] {
    return this.entries.filter((entry) => entry.refused);
  }
  /** The entry that is being sent now. */
  get onItsWay(): string | null {
    return this.sending?.id ?? null;
  }
  has(id: string): boolean {
    return this.entries.some((entry) => entry.id === id);
  }
  holdsLease(lease: string): boolean {
    return this.entries.some((entry) => entry.lease === lease && !entry.refused);
  }

  /** Reads what an earlier page left, and begins to send it. */
  async start(): Promise<void> {
    await this.read();
    this.options.onChange?.();
    void this.flush();
  }

  /** Takes an entry. It counts as kept once the returned promise resolves; sending goes on by itself. */
  async add(entry: OutboxEntry): Promise<void> {
    this.entries.push(entry);
    this.inMemory.add(entry.id);
    this.options.onChange?.();
    try {
      await this.options.store.put(entry);
      this.inMemory.delete(entry.id);
    } finally {
      // Even if the browser refuses to store it, it is sent from memory.
      void this.flush();
    }
  }

  /** Takes back an entry that the server does not have. One on its way is waited for. Returns false if it was sent, or is unknown. */
  async cancel(id: string): Promise<boolean> {
    while (this.onItsWay === id) await this.sending?.attempt;
    const takeOut = async (): Promise<boolean> => {
      if (!this.has(id)) return false;
      await this.delete(id);
      return true;
    };
    if (this.sending) return takeOut(); // this tab is the one that sends, and it sends another entry
    return this.exclusive(async () => {
      await this.read(); // another tab may have sent it meanwhile
      return takeOut();
    });
  }

  /** Forgets an entry that the server refused, once the person has seen why. */
  async dismiss(id: string): Promise<void> {
    await this.delete(id);
  }

  /** Tries now: the network is back, the person signed in again, the page became visible. */
  async flush(): Promise<void> {
    if (this.running) {
      this.again = true;
      return this.running;
    }
    this.stopTimer();
    const run = async (): Promise<void> => {
      do {
        this.again = false;
        await this.exclusive(() => this.sendAll()).catch(() => this.retryLater("server", null));
      } while (this.again);
    };
    this.running = run().finally(() => (this.running = null));
    return this.running;
  }

  private exclusive<T>(run: () => Promise<T>): Promise<T> {
    return this.options.exclusive ? this.options.exclusive(run) : run();
  }

  private async sendAll(): Promise<void> {
    await this.read();
    if (this.options.isMe && !this.options.isMe()) return this.retryLater("wrong_person", 30);
    let delayed: { state: OutboxState; after: number | null } | null = null;
    for (const entry of this.waiting) {
      if (!this.has(entry.id)) continue; // cancelled meanwhile
      const attempt = this.sendOne(entry).finally(() => (this.sending = null));
      this.sending = { id: entry.id, attempt: attempt.catch(() => {}) };
      const outcome = await attempt;
      if (outcome === "done") continue;
      if (outcome.state !== "server" || outcome.after !== null) {
        delayed = outcome;
        break;
      }
      delayed = outcome; // one entry the server stumbles over must not hold up the others
    }
    if (!delayed) {
      this.failures = 0;
      this.setState("ready");
    } else this.retryLater(delayed.state, delayed.after);
  }

  private async sendOne(entry: OutboxEntry, freshToken = false): Promise<"done" | { state: OutboxState; after: number | null }> {
    try {
      const result = await this.options.send(entry);
      await this.delete(entry.id).catch(() => {}); // kept in the store, it would be sent again after a reload, harmlessly
      this.options.onSent?.(entry, result);
      return "done";
    } catch (error) {
      entry.attempts += 1;
      if (error instanceof NetworkError) return { state: "offline", after: null };
      if (!(error instanceof ApiError)) throw error;
      if (error.status >= 500 || error.status === 408 || error.status === 425) return { state: "server", after: null };
      if (error.status === 429) return { state: "server", after: error.retryAfterSeconds ?? 5 };
      if (error.status === 401 || ([403, 404].includes(error.status) && !freshToken)) return await this.reauthenticate(entry);
      await this.refuse(entry, error);
      return "done";
    }
  }

  /** 401, 403 and 404 may be an expired session, a stale CSRF token, or another person who signed in here: ask which. */
  private async reauthenticate(entry: OutboxEntry): Promise<"done" | { state: OutboxState; after: number | null }> {
    let person: string;
    try {
      person = await this.options.whoAmI();
    } catch {
      return { state: "offline", after: null };
    }
    if (person === "") return { state: "signed_out", after: 30 };
    if (person !== this.options.person) return { state: "wrong_person", after: 30 };
    return this.sendOne(entry, true);
  }

  private async refuse(entry: OutboxEntry, error: ApiError): Promise<void> {
    entry.refused = { status: error.status, code: error.code, detail: error.detail };
    await this.options.store.put(entry).catch(() => {});
    this.options.onRefused?.(entry);
    this.options.onChange?.();
  }

  private async delete(id: string): Promise<void> {
    this.entries = this.entries.filter((entry) => entry.id !== id);
    this.inMemory.delete(id);
    this.gone.add(id);
    try {
      await this.options.store.delete(id);
    } finally {
      this.options.onChange?.();
    }
  }

  /** Another tab may have added or sent some. */
  private async read(): Promise<void> {
    const listed = await this.options.store.list(this.options.person).catch(() => null);
    if (!listed) return;
    const stored = listed.filter((entry) => !this.gone.has(entry.id));
    const known = new Map(this.entries.map((entry) => [entry.id, entry]));
    const unsaved = this.entries.filter((entry) => this.inMemory.has(entry.id) && !stored.some((one) => one.id === entry.id));
    this.entries = [...stored.map((entry) => known.get(entry.id) ?? entry), ...unsaved].sort((a, b) => a.createdAt - b.createdAt);
  }

  private retryLater(state: OutboxState, afterSeconds: number | null): void {
    this.stopTimer();
    const step = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 30_000;
    const wait = afterSeconds === null ? step * (0.75 + Math.random() * 0.5) : afterSeconds * 1000;
    this.failures += 1;
    const setTimer = this.options.setTimer ?? ((run: () => void, ms: number) => setTimeout(run, ms));
    this.timer = setTimer(() => void this.flush(), wait);
    this.setState(state);
  }

  private stopTimer(): void {
    if (this.timer === null) return;
    (this.options.clearTimer ?? ((timer: unknown) => clearTimeout(timer as ReturnType<typeof setTimeout>)))(this.timer);
    this.timer = null;
  }

  private setState(state: OutboxState): void {
    this.stateValue = state;
    this.options.onChange?.();
  }
}
