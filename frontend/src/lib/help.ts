const KEY = "dreamfork.shortcuts";

/** Whether single-key shortcuts are on in this browser (WCAG 2.1.4: they can be switched off). */
export function shortcutsOn(): boolean {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

export function setShortcuts(on: boolean): void {
  try {
    if (on) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, "off");
  } catch {
    // Blocked storage: the switch then has no lasting effect.
  }
  for (const box of document.querySelectorAll<HTMLInputElement>("[data-shortcuts-switch]")) box.checked = on;
  document.dispatchEvent(new CustomEvent("dreamfork:shortcuts", { detail: on }));
}

/** True while a key press belongs to a control that takes text, or to an open dialog. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  if (!target || !target.closest) return false;
  if (target.closest("dialog[open]")) return true;
  if (target.isContentEditable || target.closest("textarea, select")) return true;
  const input = target.closest("input");
  return !!input && !["checkbox", "radio", "range", "button", "submit"].includes(input.type);
}

export function startHelp(): void {
  const help = document.getElementById("help");
  if (!(help instanceof HTMLDialogElement)) return;
  setShortcuts(shortcutsOn());
  document.addEventListener("change", (event) => {
    const box = event.target as HTMLInputElement;
    if (box.matches?.("[data-shortcuts-switch]")) setShortcuts(box.checked);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !shortcutsOn()) return;
    if (event.key === "?" && help.open) {
      event.preventDefault();
      help.close();
    } else if (event.key === "?" && !isTyping(event)) {
      event.preventDefault();
      help.showModal();
    } else if (event.key === "/" && !isTyping(event)) {
      const search = document.querySelector<HTMLElement>("[data-search], input[type=search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
    }
  });
}
