export type ToastKind = "good" | "warn" | "bad" | "info";
const marks: Record<ToastKind, string> = { good: "✓", warn: "!", bad: "✕", info: "i" };
const fromDjango: Record<string, ToastKind> = { success: "good", warning: "warn", error: "bad", info: "info", debug: "info" };

/** Shows a short message. Errors stay until closed; the rest go after six seconds. `action` adds one button. One `about` a thing replaces the one before. */
export function showToast(kind: ToastKind, text: string, action?: { label: string; run: () => void }, about?: string): void {
  const list = document.getElementById("toasts");
  if (!list) return;
  const item = document.createElement("li");
  item.className = "toast";
  if (about) {
    list.querySelector(`[data-about="${about}"]`)?.remove();
    item.dataset["about"] = about;
  }
  if (kind === "bad") item.setAttribute("role", "alert");
  const mark = document.createElement("span");
  mark.className = "toast-mark";
  mark.setAttribute("aria-hidden", "true");
  mark.textContent = marks[kind];
  const body = document.createElement("p");
  body.textContent = text;
  item.append(mark, body);
  if (action) item.append(button(action.label, () => { item.remove(); action.run(); }));
  item.append(button("✕", () => item.remove(), "Close this message"));
  list.append(item);
  while (list.children.length > 4) list.firstElementChild?.remove();
  if (kind !== "bad") setTimeout(() => item.remove(), 6000);
}

function button(label: string, run: () => void, description?: string): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  if (description) element.setAttribute("aria-label", description);
  element.addEventListener("click", run);
  return element;
}

/** Shows Django's messages, and `HX-Trigger: {"toast": {"kind": "good", "text": "..."}}` of an htmx answer. */
export function startToasts(): void {
  for (const item of document.querySelectorAll<HTMLElement>("#toasts [data-toast]")) {
    const kind = fromDjango[item.dataset["toast"] ?? ""] ?? "info";
    const text = item.textContent ?? "";
    item.remove();
    showToast(kind, text);
  }
  document.body.addEventListener("toast", (event) => {
    const { kind, text } = (event as CustomEvent<{ kind?: ToastKind; text?: string }>).detail ?? {};
    showToast(kind ?? "info", text ?? "");
  });
}
