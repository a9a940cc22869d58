import { h } from "../../lib/dom";
import { shortcutsOn, setShortcuts } from "../../lib/help";
import { ACTIONS, keyLabel, keyName, KeyMap } from "../../lib/keymap";

/** Lets the annotator change every key, switch single keys off, and put the defaults back. `changed` is called after each change. */
export function openKeysDialog(keys: KeyMap, options: { reviewEach: boolean }, changed: (change: { keys?: KeyMap; reviewEach?: boolean; shortcuts?: boolean }) => void): void {
  const message = h("p", { class: "muted small", role: "status" }, "Choose an action, then press the key that it shall have. Delete takes its key away.");
  const table = h("div", { class: "keys" });
  const draw = (): void => {
    const groups = [...new Set(ACTIONS.map((action) => action.group))];
    table.replaceChildren(
      ...groups.map((group) =>
        h(
          "section",
          {},
          h("h3", {}, group),
          h(
            "ul",
            { class: "key-list" },
            ...ACTIONS.filter((action) => action.group === group).map((action) => {
              const key = keys.keyOf(action.id);
              const button = h("button", { type: "button", class: "button button-small key-button", "data-action": action.id, "aria-label": `${action.label}: ${key ? keyLabel(key) : "no key"}. Change.` }, key ? keyLabel(key) : "none");
              button.addEventListener("click", () => listen(button, action.id, action.label));
              return h("li", {}, button, h("span", {}, action.label));
            }),
          ),
        ),
      ),
    );
  };
  const listen = (button: HTMLButtonElement, action: string, label: string): void => {
    button.textContent = "press…";
    button.classList.add("is-listening");
    const finish = (): void => {
      button.removeEventListener("keydown", onKey);
      button.removeEventListener("blur", finish);
      draw();
      table.querySelector<HTMLElement>(`[data-action="${action}"]`)?.focus();
    };
    const onKey = (event: KeyboardEvent): void => {
      if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
      if (event.key === "Tab") return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key !== "Escape") {
        try {
          const loser = keys.bind(action, event.key === "Delete" ? "" : keyName(event));
          const lost = ACTIONS.find(({ id }) => id === loser);
          message.textContent = lost ? `${label} has this key now; "${lost.label}" has none.` : `${label}: saved.`;
          changed({ keys });
        } catch (error) {
          message.textContent = (error as Error).message;
        }
      }
      button.removeEventListener("blur", finish);
      finish();
    };
    button.addEventListener("keydown", onKey);
    button.addEventListener("blur", finish);
  };
  const single = h("input", { type: "checkbox" });
  single.checked = shortcutsOn();
  single.addEventListener("change", () => {
    setShortcuts(single.checked);
    changed({ shortcuts: single.checked });
  });
  const each = h("input", { type: "checkbox" });
  each.checked = options.reviewEach;
  each.addEventListener("change", () => changed({ reviewEach: each.checked }));
  const reset = h("button", { type: "button", class: "button", onclick: () => {
    for (const { id } of ACTIONS) keys.bind(id, "");
    for (const { id, key } of ACTIONS) keys.bind(id, key);
    message.textContent = "The default keys are back.";
    changed({ keys });
    draw();
  } }, "Default keys");
  const dialog: HTMLDialogElement = h(
    "dialog",
    { class: "dialog dialog-wide", "aria-labelledby": "keys-title" },
    h("div", { class: "dialog-head" }, h("h2", { id: "keys-title" }, "Keys and habits")),
    h(
      "div",
      { class: "dialog-body stack" },
      h("label", { class: "check" }, single, "Use single-key shortcuts"),
      h("label", { class: "check" }, each, "After each answer, show the pair with its paths before going on"),
      message,
      table,
    ),
    h("div", { class: "dialog-foot" }, reset, h("button", { type: "button", class: "button button-primary", onclick: () => dialog.close() }, "Done")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  draw();
  document.body.append(dialog);
  dialog.showModal();
}
