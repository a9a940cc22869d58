import type { LabelingServer } from "./server";
import type { Me, Preferences } from "./types";

const FALLBACK: Me = {
  stats: { today: 0, total: 0, pace_s: null, session_minutes: 0 },
  undoable: [],
  preferences: {},
  project: { criteria: [], ask_strength: true, ask_success: true, lease_seconds: 120, break_after_minutes: 30 },
};

const PATIENCE_MS = 5000; // then what is known will do

const key = (person: string): string => `dreamfork.me.${person}`;

/** Who annotates and what is asked. While the server can not be reached, what it said last time is used. */
export async function loadMe(server: LabelingServer, person: string): Promise<Me> {
  const known = recall(person);
  try {
    const me = await server.me(known ? PATIENCE_MS : undefined);
    keep(person, me);
    return me;
  } catch {
    return known ? { ...known, undoable: [] } : FALLBACK;
  }
}

function recall(person: string): Me | null {
  try {
    return JSON.parse(localStorage.getItem(key(person)) ?? "null") as Me | null;
  } catch {
    return null;
  }
}

function keep(person: string, me: Me): void {
  try {
    localStorage.setItem(key(person), JSON.stringify(me));
  } catch {
    // Only a convenience for the next start without a network.
  }
}

/** Saves preferences a moment after the last change. */
export class PreferenceSaver {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly server: LabelingServer,
    private readonly person: string,
  ) {}

  save(preferences: Preferences): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.server.savePreferences(preferences).catch(() => {
        // A speed or a key that is not remembered is not worth a word; the next change saves them all.
      });
      const known = recall(this.person);
      if (known) keep(this.person, { ...known, preferences });
    }, 800);
  }
}
