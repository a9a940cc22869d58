/** What a session has lasted, and when a break is due. A pause of five minutes begins a new session; reloading the page does not. */
export class Session {
  private startedAt: number;
  private lastActive: number;
  private remindAfter: number;

  constructor(
    private readonly breakAfterMinutes: number,
    private readonly now: () => number = Date.now,
    private readonly storage: Pick<Storage, "getItem" | "setItem"> | null = sessionStorageOrNull(),
  ) {
    const [started, active] = (storage?.getItem(KEY) ?? "").split(" ").map(Number);
    const fresh = !started || !active || now() - active > GAP_MS;
    this.startedAt = fresh ? now() : started;
    this.lastActive = now();
    this.remindAfter = Math.max(breakAfterMinutes, this.minutes >= breakAfterMinutes ? this.minutes : 0);
    this.save();
  }

  get minutes(): number {
    return (this.now() - this.startedAt) / 60_000;
  }
  /** Milliseconds since the person last did something here. */
  get idleMs(): number {
    return this.now() - this.lastActive;
  }

  active(): void {
    if (this.idleMs > GAP_MS) {
      this.startedAt = this.now();
      this.remindAfter = this.breakAfterMinutes;
    }
    this.lastActive = this.now();
    this.save();
  }

  get breakDue(): boolean {
    return this.breakAfterMinutes > 0 && this.minutes >= this.remindAfter;
  }

  /** Leaves the person in peace until as much time has gone by again. */
  later(): void {
    this.remindAfter = this.minutes + this.breakAfterMinutes;
  }

  private save(): void {
    try {
      this.storage?.setItem(KEY, `${this.startedAt} ${this.lastActive}`);
    } catch {
      // Full or blocked storage: the timer then starts anew with the page.
    }
  }
}

const KEY = "dreamfork.session";
const GAP_MS = 5 * 60_000;

function sessionStorageOrNull(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
