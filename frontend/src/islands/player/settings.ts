import { setShortcuts, shortcutsOn } from "../../lib/help";
import { KeyMap } from "../../lib/keymap";
import { listKeys } from "./controls";
import type { DetailsPanel } from "./details";
import { openKeysDialog } from "./keys-dialog";
import type { PreferenceSaver } from "./me";
import type { Preferences } from "./types";
import type { PlayerView } from "./view";

/** The annotator's keys and habits: shown wherever a key is printed, changed in a dialog, saved with the account. */
export class Settings {
  readonly keys: KeyMap;

  constructor(
    readonly preferences: Preferences,
    private readonly saver: PreferenceSaver,
    private readonly view: PlayerView,
    private readonly details: DetailsPanel,
  ) {
    this.keys = new KeyMap(preferences.keys);
    if (preferences.shortcuts === false) setShortcuts(false);
  }

  /** Prints each key on its button and in the help overlay. */
  show(): void {
    const on = shortcutsOn();
    this.view.showKeys(this.keys, on);
    this.details.showKeys(this.keys, on);
    listKeys(this.keys);
  }

  open(): void {
    const { preferences } = this;
    openKeysDialog(this.keys, { reviewEach: preferences.review_each ?? false }, (change) => {
      if (change.keys) preferences.keys = change.keys.changes();
      if (change.reviewEach !== undefined) preferences.review_each = change.reviewEach;
      if (change.shortcuts !== undefined) preferences.shortcuts = change.shortcuts;
      this.saver.save(preferences);
      this.show();
    });
  }

  /** Remembers how the person plays clips. */
  played(rate: number, loop: boolean): void {
    const { preferences } = this;
    if ((preferences.rate ?? 1) === rate && (preferences.loop ?? true) === loop) return;
    preferences.rate = rate;
    preferences.loop = loop;
    this.saver.save(preferences);
  }
}
