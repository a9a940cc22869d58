import { isTyping, shortcutsOn } from "../../lib/help";
import { keyName, type KeyMap } from "../../lib/keymap";
import type { Side } from "./types";

export interface KeyTarget {
  signal: AbortSignal;
  keys: () => KeyMap;
  act: (action: string) => void;
  hold: (side: Side) => void;
  release: (side: Side) => void;
  escape: () => void;
}

const HOLDS: Record<string, Side> = { segment_left: "left", segment_right: "right" };
const REPEATABLE = new Set(["step_back", "step_on"]);

/** Turns key presses into actions. A key that is held down does its thing once, except stepping; a control that needs the key keeps it. */
export function watchKeys(target: KeyTarget): void {
  const { signal } = target;
  const held = new Map<string, Side>();

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    if (event.key === "Escape") return target.escape();
    if (!shortcutsOn()) return;
    const key = keyName(event);
    const action = target.keys().actionOf(key);
    if (!action || ownKey(event)) return;
    event.preventDefault();
    if (event.repeat && !REPEATABLE.has(action)) return;
    const side = HOLDS[action];
    if (side) {
      held.set(event.code, side);
      target.hold(side);
    } else target.act(action);
  }, { signal });

  addEventListener("keyup", (event) => {
    const side = held.get(event.code);
    if (!side) return;
    held.delete(event.code);
    target.release(side);
  }, { signal });
}

/** Whether the focused control needs this key: arrows in a group of radios, a range or a list, Space on what was reached by keyboard. */
function ownKey(event: KeyboardEvent): boolean {
  const element = event.target instanceof HTMLElement ? event.target : null;
  if (!element) return false;
  if (event.key.startsWith("Arrow")) return element.matches("input[type=radio], input[type=range], select");
  if (event.key === " ") return element.matches("input[type=radio], input[type=checkbox], select, summary") || (element.matches("button, a") && element.matches(":focus-visible"));
  return false;
}
