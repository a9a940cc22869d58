import { h } from "../../lib/dom";
import { ACTIONS, keyLabel, type KeyMap } from "../../lib/keymap";
import { VIEWS, type StageView } from "./stage";
import type { Side } from "./types";

type Kbd = (action: string) => HTMLElement;

/** The two buttons that are held while one side is worse; a tap, Enter or Space marks the frame that is shown. */
export function holdButtons(kbd: Kbd, hold: (side: Side) => void, release: (side: Side) => void): HTMLElement {
  const make = (side: Side, label: string): HTMLButtonElement => {
    const button = h("button", { type: "button", class: `button button-small hold hold-${side}`, title: "Hold while the clip plays; tap to mark the frame that is shown" }, h("span", {}, label), kbd(`segment_${side}`));
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      hold(side);
    });
    for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => release(side));
    button.addEventListener("click", (event) => {
      if (event.detail > 0) return; // a pointer, handled above
      hold(side);
      release(side);
    });
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    return button;
  };
  return h("div", { class: "holds row row-s" }, make("left", "Left is worse here"), make("right", "Right is worse here"));
}

/** Side by side, blink, difference, zoom, and the paths where they may be seen before the answer. */
export function viewButtons(kbd: Kbd, choose: (view: StageView) => void, zoom: () => void, paths: () => void): HTMLElement {
  const buttons = VIEWS.map(({ id, label }) => h("button", { type: "button", class: "button button-small", "data-view": id, "aria-pressed": String(id === "side"), onclick: () => choose(id) }, label));
  return h(
    "div",
    { class: "row row-s views" },
    h("span", { class: "small muted" }, "View ", kbd("view")),
    h("div", { class: "button-group", role: "group", "aria-label": "View" }, ...buttons),
    h("button", { type: "button", class: "button button-small", onclick: zoom }, "Zoom ", kbd("zoom")),
    h("button", { type: "button", class: "button button-small", "data-act": "paths", "aria-pressed": "false", hidden: true, onclick: paths }, "Paths ", kbd("paths")),
  );
}

/** Fills the help overlay with the keys as they are bound now. */
export function listKeys(keys: KeyMap): void {
  const extra = document.querySelector("[data-help-extra]");
  if (!extra) return;
  const groups = [...new Set(ACTIONS.map(({ group }) => group))];
  extra.className = "help-groups";
  extra.replaceChildren(
    ...groups.map((group) => {
      const list = h("dl");
      for (const { id, label } of ACTIONS.filter((action) => action.group === group)) {
        const key = keys.keyOf(id);
        list.append(h("dt", {}, key ? h("kbd", {}, keyLabel(key)) : h("span", { class: "muted" }, "none")), h("dd", {}, label));
      }
      return h("section", {}, h("h3", {}, group), list);
    }),
  );
}
