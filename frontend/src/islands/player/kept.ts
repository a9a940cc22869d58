import { keptPairs, type KeptPair } from "../../lib/offline";
import { uuid } from "../../lib/uuid";
import type { Fetched } from "./feed";
import type { Assignment } from "./types";

const TOO_OLD_MS = 3600_000; // such a lease ran out long ago

/**
 * The pairs that this page holds, kept in the browser so that a reload without a network finds them again. A page marks itself as alive
 * by holding a lock; another page of the same person only takes over what belonged to pages that are gone.
 */
export class Kept {
  private readonly page = uuid();

  constructor(private readonly person: string) {
    void navigator.locks?.request(lockOf(this.page), () => new Promise(() => {})); // until the page goes
  }

  put(fetched: Fetched): void {
    const { assignment, left, right } = fetched;
    const entry: KeptPair = { lease: assignment.lease, person: this.person, page: this.page, keptAt: Date.now(), assignment, left, right };
    keptPairs.put(entry).catch(() => {}); // a full disk costs the pairs after a reload, no answer
  }

  drop(...leases: string[]): void {
    if (leases.length > 0) keptPairs.delete(...leases).catch(() => {});
  }

  /** Takes over what pages that are gone held, oldest first. */
  async takeOver(): Promise<Fetched[]> {
    const take = async (): Promise<Fetched[]> => {
      const left = await this.orphans();
      const fresh = left.filter(({ keptAt }) => Date.now() - keptAt < TOO_OLD_MS).sort((a, b) => a.keptAt - b.keptAt);
      this.drop(...left.filter((one) => !fresh.includes(one)).map(({ lease }) => lease));
      await keptPairs.put(...fresh.map((one) => ({ ...one, page: this.page })));
      return fresh.map(({ assignment, left, right }) => ({ assignment: assignment as Assignment, left, right }));
    };
    try {
      return navigator.locks ? ((await navigator.locks.request("dreamfork-pairs", take)) as Fetched[]) : await take();
    } catch {
      return [];
    }
  }

  /** Forgets what pages that are gone held. Returns their leases: the server may still wait for them. */
  async dropOrphans(): Promise<string[]> {
    const leases = (await this.orphans().catch(() => [])).map(({ lease }) => lease);
    this.drop(...leases);
    return leases;
  }

  private async orphans(): Promise<KeptPair[]> {
    const entries = await keptPairs.list(this.person);
    const held = new Set((await navigator.locks?.query())?.held?.map(({ name }) => name));
    return entries.filter(({ page }) => page !== this.page && !held.has(lockOf(page)));
  }
}

const lockOf = (page: string): string => `dreamfork-page-${page}`;
