import { ApiError } from "../../lib/api";
import { Sprite } from "../../lib/sprite";
import type { Assignment, Pair } from "./types";

export type FeedStatus = "loading" | "ok" | "all_done" | "all_leased" | "nothing_sampled" | "offline" | "signed_out" | "refused";
interface NextAnswer {
  status: "ok" | "all_done" | "all_leased" | "nothing_sampled";
  retry_after_s: number;
  assignments: Assignment[];
}
export interface Fetched {
  assignment: Assignment;
  left: Blob;
  right: Blob;
}

export interface FeedOptions {
  /** Leases more; `held` are the leases that are here already. */
  next: (count: number, held: string[]) => Promise<NextAnswer>;
  /** Extends leases; resolves to those that are still held. */
  heartbeat: (leases: string[]) => Promise<string[]>;
  fetchBlob: (url: string) => Promise<Blob>;
  decode: (assignment: Assignment, left: Blob, right: Blob) => Promise<Pair>;
  /** Leases whose answer is on its way: the server still counts them as held and may hand them out again. */
  isAnswered: (lease: string) => boolean;
  /** A pair whose frames can not be fetched or decoded; it is never shown. */
  onBroken: (assignment: Assignment, why: string) => void;
  onChange: () => void;
  /** Keeps fetched pairs over a reload. */
  kept?: {
    put: (fetched: Fetched) => void;
    drop: (...leases: string[]) => void;
    /** What earlier pages held, when the server can not be asked for more. */
    takeOver: () => Promise<Fetched[]>;
    /** Called when the server gives out pairs again: what earlier pages held need not be kept. */
    release: () => void;
  };
  /** Puts off what need not happen before the pair that was taken is painted. */
  later?: (run: () => void) => void;
  /** The pairs that are decoded ahead. */
  ahead?: number;
  /** The pairs that are leased and fetched ahead, the decoded ones included: what can be answered while the network is away. */
  reserve?: number;
}

/**
 * How far ahead pairs are leased: with the one on the screen, fifteen. Nothing can be leased once the network is gone, and a minute without it
 * should not stop anybody: at four seconds a pair that takes fifteen. More would starve the others at the end of the queue; the server lets
 * one person hold sixteen (HELD_AT_MOST), so that an undone pair finds its place as well.
 */
const RESERVE = 14;

/**
 * Keeps the next pairs at hand: `ahead` of them decoded, so that the next one is drawn in the moment it is asked for, and `reserve` of
 * them leased and fetched, so that work goes on while the network is away.
 */
export class Feed {
  status: FeedStatus = "loading";
  /** Why the server refused, when status is "refused". */
  problem = "";
  private ready: Pair[] = [];
  private fetched: Fetched[] = [];
  private leased: Assignment[] = []; // their frames are not fetched yet
  private current: string | null = null;
  private filling = false;
  private wantsMore = false;
  private stopped = false;
  private capped = false;
  private began = false; // the server, or what was kept, has given the first pairs
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly ahead: number;
  private readonly reserve: number;
  private readonly broken = new Set<string>(); // leases

  constructor(private readonly options: FeedOptions) {
    this.ahead = options.ahead ?? 3;
    this.reserve = options.reserve ?? RESERVE;
  }

  /** Pairs at hand, decoded or not. */
  get size(): number {
    return this.ready.length + this.fetched.length + this.leased.length;
  }
  get hasNext(): boolean {
    return this.ready.length > 0;
  }
  /** Leases that are held and not answered, the shown one included. */
  get leases(): string[] {
    const held = [...[...this.ready, ...this.fetched].map((one) => one.assignment), ...this.leased].map(({ lease }) => lease);
    return this.current ? [this.current, ...held] : held;
  }

  /** The next decoded pair, at once, or null if there is none yet; the one taken before is done with. */
  take(): Pair | null {
    const pair = this.ready.shift() ?? null;
    this.current = pair?.assignment.lease ?? null;
    this.capped = false;
    if (pair) (this.options.later ?? ((run) => run()))(() => void this.fill());
    return pair;
  }

  /** Shows this pair next: the one that an undo brought back, or the one that it pushed aside. */
  putBack(pair: Pair): void {
    this.ready.unshift(pair);
  }

  /** Counts this lease as the one on the screen. */
  hold(lease: string): void {
    this.current = lease;
  }

  /** Decodes one assignment out of turn (an undo). */
  async load(assignment: Assignment): Promise<Pair> {
    const [left, right] = await Promise.all([this.options.fetchBlob(assignment.left.sprite_url), this.options.fetchBlob(assignment.right.sprite_url)]);
    this.options.kept?.put({ assignment, left, right });
    return this.options.decode(assignment, left, right);
  }

  /** Fetches until the reserve is full or the server has no more. */
  async fill(): Promise<void> {
    if (this.stopped) return;
    if (this.filling) {
      this.wantsMore = true;
      return;
    }
    this.filling = true;
    clearTimeout(this.timer);
    try {
      do {
        this.wantsMore = false;
        await this.prepare();
        while (!this.stopped && !this.capped && this.size < this.reserve && (await this.lease())) await this.prepare();
      } while (this.wantsMore && !this.stopped);
    } catch (error) {
      this.failed(error);
      await this.takeOver();
    } finally {
      this.filling = false;
      this.options.onChange();
    }
  }

  /** Keeps the leases. One that was lost is dropped, unless it is the one on the screen: its answer may still be taken. Returns false if that one was lost. */
  async heartbeat(): Promise<boolean> {
    const asked = this.leases;
    if (asked.length === 0) return true;
    let held: Set<string>;
    try {
      held = new Set(await this.options.heartbeat(asked));
    } catch {
      return true; // nobody knows; the next one tells
    }
    for (const lease of asked) if (!held.has(lease) && lease !== this.current) this.drop(lease);
    void this.fill();
    return !this.current || !asked.includes(this.current) || held.has(this.current);
  }

  /** Without the server, and with nothing at hand yet: goes on with what the page before this one held. */
  private async takeOver(): Promise<void> {
    if (this.began || this.status !== "offline" || !this.options.kept) return;
    this.began = true;
    const found = (await this.options.kept.takeOver()).filter(({ assignment }) => !this.options.isAnswered(assignment.lease));
    if (this.stopped) return;
    this.fetched.push(...found);
    await this.decodeAhead();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const pair of this.ready) close(pair);
    this.ready = [];
    this.fetched = [];
    this.leased = [];
    this.current = null;
  }

  private drop(lease: string): void {
    for (const pair of this.ready) if (pair.assignment.lease === lease) close(pair);
    this.ready = this.ready.filter((pair) => pair.assignment.lease !== lease);
    this.fetched = this.fetched.filter((one) => one.assignment.lease !== lease);
    this.leased = this.leased.filter((one) => one.lease !== lease);
    this.options.kept?.drop(lease);
  }

  /** Decodes what is needed soon before it fetches what is needed later. */
  private async prepare(): Promise<void> {
    await this.decodeAhead();
    for (let next = this.leased[0]; next && !this.stopped; next = this.leased[0]) {
      const assignment = next;
      try {
        const [left, right] = await Promise.all([this.options.fetchBlob(assignment.left.sprite_url), this.options.fetchBlob(assignment.right.sprite_url)]);
        this.fetched.push({ assignment, left, right });
        this.options.kept?.put({ assignment, left, right });
        this.leased.shift();
      } catch (error) {
        if (!(error instanceof ApiError) || [401, 403, 429].includes(error.status) || error.status >= 500) throw error;
        this.leased.shift();
        this.reject(assignment, error);
      }
      await this.decodeAhead();
    }
  }

  private reject(assignment: Assignment, error: unknown): void {
    this.broken.add(assignment.lease);
    this.options.kept?.drop(assignment.lease);
    this.options.onBroken(assignment, error instanceof Error ? error.message : String(error));
  }

  private async decodeAhead(): Promise<void> {
    while (this.ready.length < this.ahead && this.fetched.length > 0 && !this.stopped) {
      const next = this.fetched[0];
      if (!next) return;
      try {
        const pair = await this.options.decode(next.assignment, next.left, next.right);
        // It may have been dropped while it was decoded.
        if (this.stopped || this.fetched[0] !== next) {
          close(pair);
          continue;
        }
        this.fetched.shift();
        this.ready.push(pair);
        this.options.onChange();
      } catch (error) {
        this.fetched = this.fetched.filter((one) => one !== next);
        this.reject(next.assignment, error);
      }
    }
  }

  /** Leases up to four more. Returns whether that brought any. */
  private async lease(): Promise<boolean> {
    // The first request asks for one pair only, so that something is on the screen soon.
    const answer = await this.options.next(this.size === 0 ? 1 : Math.min(4, this.reserve - this.size), this.leases);
    if (!this.began) this.options.kept?.release();
    this.began = true;
    const known = new Set(this.leases);
    const fresh = answer.assignments.filter(({ lease }) => !known.has(lease) && !this.broken.has(lease) && !this.options.isAnswered(lease));
    if (answer.status !== "ok") {
      this.status = answer.status;
      if (answer.status !== "all_done" || this.size === 0) this.retryIn(answer.retry_after_s * 1000);
      return false;
    }
    this.status = "ok";
    // Only leases that are held already: the server gives this person no more for now.
    if (fresh.length === 0) {
      this.capped = true;
      if (this.size === 0) this.retryIn(3000);
      return false;
    }
    this.leased.push(...fresh);
    return true;
  }

  private failed(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) this.status = "signed_out";
    else if (error instanceof ApiError && error.status < 500 && error.status !== 429 && error.status !== 408) {
      this.status = error.status === 403 ? "signed_out" : "refused";
      this.problem = error.message;
    } else this.status = "offline";
    this.retryIn(error instanceof ApiError && error.retryAfterSeconds ? error.retryAfterSeconds * 1000 : 5000);
  }

  private retryIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.capped = false;
      void this.fill();
    }, ms);
  }
}

export function close(pair: Pair): void {
  pair.left.close();
  pair.right.close();
}

/** Decodes both sides of an assignment. */
export async function decodePair(assignment: Assignment, left: Blob, right: Blob): Promise<Pair> {
  const { frame_count: frameCount, width, height } = assignment;
  const sheet = (side: { sprite_url: string; columns: number }) => ({ url: side.sprite_url, columns: side.columns, frameCount, width, height });
  const [a, b] = await Promise.all([Sprite.decode(sheet(assignment.left), left), Sprite.decode(sheet(assignment.right), right)]);
  return { assignment, left: a, right: b };
}
