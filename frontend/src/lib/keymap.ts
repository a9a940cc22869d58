export interface Action {
  id: string;
  label: string;
  group: "Answer" | "Playback" | "More about the pair" | "Moving on";
  key: string;
}

/** Everything that a key can do on the comparison page, with its key when nothing was changed. F and J lie under the resting index fingers. */
export const ACTIONS: readonly Action[] = [
  { id: "left", label: "Left is better", group: "Answer", key: "f" },
  { id: "right", label: "Right is better", group: "Answer", key: "j" },
  { id: "tie", label: "Tie", group: "Answer", key: "t" },
  { id: "both_bad", label: "Both bad", group: "Answer", key: "b" },
  { id: "cant_tell", label: "Can't tell", group: "Answer", key: "n" },
  { id: "play", label: "Play or pause", group: "Playback", key: " " },
  { id: "step_back", label: "One frame back", group: "Playback", key: "arrowleft" },
  { id: "step_on", label: "One frame on", group: "Playback", key: "arrowright" },
  { id: "restart", label: "Back to the start", group: "Playback", key: "r" },
  { id: "slower", label: "Slower", group: "Playback", key: "," },
  { id: "faster", label: "Faster", group: "Playback", key: "." },
  { id: "loop", label: "Loop on or off", group: "Playback", key: "l" },
  { id: "view", label: "Next view: side by side, blink, difference", group: "Playback", key: "v" },
  { id: "zoom", label: "Zoom 1×, 2×, 4×", group: "Playback", key: "z" },
  { id: "paths", label: "Paths before the answer, where they are offered", group: "Playback", key: "h" },
  { id: "segment_left", label: "Hold: left is worse here", group: "More about the pair", key: "d" },
  { id: "segment_right", label: "Hold: right is worse here", group: "More about the pair", key: "k" },
  { id: "strength_1", label: "Slightly better", group: "More about the pair", key: "1" },
  { id: "strength_2", label: "Clearly better", group: "More about the pair", key: "2" },
  { id: "strength_3", label: "Much better", group: "More about the pair", key: "3" },
  { id: "success_left", label: "Left: did it succeed?", group: "More about the pair", key: "q" },
  { id: "success_right", label: "Right: did it succeed?", group: "More about the pair", key: "p" },
  { id: "criteria", label: "Go to the criteria", group: "More about the pair", key: "c" },
  { id: "rationale", label: "Write why", group: "More about the pair", key: "e" },
  { id: "undo", label: "Undo the last answer", group: "Moving on", key: "u" },
  { id: "review", label: "Look at the answered pair, with its paths", group: "Moving on", key: "o" },
  { id: "skip", label: "Skip this pair", group: "Moving on", key: "s" },
  { id: "flag", label: "Report something wrong with this pair", group: "Moving on", key: "x" },
];

/** Keys that the browser or the page needs itself. */
const RESERVED = new Set(["tab", "enter", "escape", "?", "/", "f5", "f11", "f12", "shift", "control", "alt", "meta", "capslock", "dead", "unidentified", "contextmenu"]);

/** The name under which a key press is looked up: the character it makes, lower case. */
export function keyName(event: Pick<KeyboardEvent, "key">): string {
  return event.key.toLowerCase();
}

/** What is printed on the key's picture. */
export function keyLabel(key: string): string {
  const names: Record<string, string> = { " ": "Space", arrowleft: "←", arrowright: "→", arrowup: "↑", arrowdown: "↓", backspace: "⌫", delete: "Del", home: "Home", end: "End", pageup: "PgUp", pagedown: "PgDn" };
  return names[key] ?? (key.length === 1 ? key.toUpperCase() : key.charAt(0).toUpperCase() + key.slice(1));
}

/** Which key does what. One key does one thing; an action may have lost its key to another one (it is then only a button). */
export class KeyMap {
  private readonly keys = new Map<string, string>();

  /** `changed` holds action ids with their keys, as stored; what it gets wrong (unknown, reserved, taken twice) falls back to the default. */
  constructor(changed: Record<string, unknown> = {}) {
    const taken = new Set<string>();
    const own = (action: Action): string | undefined => {
      const key = changed[action.id];
      return typeof key === "string" && !RESERVED.has(key.toLowerCase()) ? key.toLowerCase() : undefined;
    };
    for (const action of ACTIONS) {
      const key = own(action);
      if (key === undefined) continue;
      if (key === "") this.keys.set(action.id, "");
      else if (!taken.has(key)) {
        this.keys.set(action.id, key);
        taken.add(key);
      }
    }
    for (const action of ACTIONS) {
      if (this.keys.has(action.id)) continue;
      this.keys.set(action.id, taken.has(action.key) ? "" : action.key);
      taken.add(action.key);
    }
  }

  keyOf(action: string): string {
    return this.keys.get(action) ?? "";
  }

  actionOf(key: string): string | undefined {
    if (!key) return undefined;
    for (const [action, bound] of this.keys) if (bound === key) return action;
    return undefined;
  }

  /**
   * Gives an action another key, or none with "". Returns the action that lost this key, if there was one.
   * Raises RangeError for a key that the browser or the page needs itself.
   */
  bind(action: string, key: string): string | undefined {
    const name = key.toLowerCase();
    if (RESERVED.has(name)) throw new RangeError(`${keyLabel(name)} is needed by the page or the browser. Take another key.`);
    const loser = name ? this.actionOf(name) : undefined;
    if (loser === action) return undefined;
    if (loser) this.keys.set(loser, "");
    this.keys.set(action, name);
    return loser;
  }

  /** Only what differs from the defaults: new actions then get their default keys later on. */
  changes(): Record<string, string> {
    return Object.fromEntries(ACTIONS.filter(({ id, key }) => this.keyOf(id) !== key).map(({ id }) => [id, this.keyOf(id)]));
  }
}
