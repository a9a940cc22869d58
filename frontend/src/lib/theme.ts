type Theme = "system" | "light" | "dark";
const KEY = "dreamfork.theme";
const order: Theme[] = ["system", "light", "dark"];

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  for (const label of document.querySelectorAll("[data-theme-name]")) {
    label.textContent = { system: "System", light: "Light", dark: "Dark" }[theme];
  }
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-label", `Colours: ${theme}. Switch between system, light and dark.`);
  }
  document.dispatchEvent(new CustomEvent("dreamfork:theme"));
}

/** The toggle goes round system, light, dark; the choice stays in this browser. */
export function startTheme(): void {
  apply(stored());
  document.addEventListener("click", (event) => {
    if (!(event.target as Element).closest?.("[data-theme-toggle]")) return;
    const next = order[(order.indexOf(stored()) + 1) % order.length] ?? "system";
    try {
      if (next === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // Blocked storage: the choice then lasts as long as the page.
    }
    apply(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("dreamfork:theme")));
}

/** The current value of a CSS custom property, for canvases. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
