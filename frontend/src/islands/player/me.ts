import { ApiError } from "../../lib/api";
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
const unsavedKey = (person: string): string => `dreamfork.preferences.${person}`;

/** Who annotates and what is asked. While the server can not be reached, what it said last time is used; what it was not told yet goes over what it says. */
export async function loadMe(server: LabelingServer, person: string): Promise<Me> {
  const known = recall<Me>(key(person));
  const unsaved = recall<Preferences>(unsavedKey(person));
  try {
    const me = await server.me(known ? PATIENCE_MS : undefined);
    if (unsaved) me.preferences = unsaved;
    keep(key(person), me);
    return me;
  } catch {
    const me = known ? { ...known, undoable: [] } : { ...FALLBACK };
    return unsaved ? { ...me, preferences: unsaved } : me;
  }
}

function recall<T>(name: string): T | null {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null") as T | null;
  } catch {
    return null;
  }
}

function keep(name: string, value: unknown): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Only a convenience for the next start.
  }
}

/** One answer more, or one that was taken back; `today` says whether it was one of today's. */
export function count(me: Me | null, more: 1 | -1, today = true): void {
  if (!me) return;
  me.stats.total += more;
  if (today) me.stats.today = Math.max(0, me.stats.today + more);
}

/** Saves preferences a moment after the last change; until the server has them, this browser keeps them over a reload. */
export class PreferenceSaver {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly server: LabelingServer,
    private readonly person: string,
  ) {}

  save(preferences: Preferences): void {
    keep(unsavedKey(this.person), preferences);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.send(), 800);
  }

  /** Tells the server what an earlier page, or one without a network, did not. */
  async send(): Promise<void> {
    const preferences = recall<Preferences>(unsavedKey(this.person));
    if (!preferences) return;
    try {
      await this.server.savePreferences(preferences);
    } catch (error) {
      // A speed or a key that is not remembered is not worth a word. Without an answer it is sent again when the network is back.
      if (!(error instanceof ApiError) || [401, 403, 408, 429].includes(error.status) || error.status >= 500) return;
    }
    const now = recall<Preferences>(unsavedKey(this.person));
    if (JSON.stringify(now) === JSON.stringify(preferences)) keep(unsavedKey(this.person), null);
    const known = recall<Me>(key(this.person));
    if (known) keep(key(this.person), { ...known, preferences });
  }
}
