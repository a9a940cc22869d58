import { h } from "../../lib/dom";

const SKIP_REASONS = ["The prompt is unclear", "Too close to call, and not a tie", "I have seen this pair before"];
const FLAG_REASONS = ["The frames are broken or empty", "The two sides do not start from the same frame", "The start frame does not fit the prompt", "The content is disturbing"];

export interface SkipAnswer {
  reason: string;
  flag: boolean;
}

/** Asks why a pair is skipped, or what is wrong with it. Digits take a reason, Enter sends, Escape goes back to the pair. */
export function askSkip(flag: boolean): Promise<SkipAnswer | null> {
  return new Promise((resolve) => {
    const reasons = flag ? FLAG_REASONS : SKIP_REASONS;
    const own = h("input", { type: "text", maxlength: 500, "aria-label": "Another reason", placeholder: "Another reason" });
    const title = flag ? "What is wrong with this pair?" : "Why skip this pair?";
    let answer: SkipAnswer | null = null;
    const finish = (reason: string): void => {
      if (flag && !reason) {
        own.focus();
        own.setAttribute("aria-invalid", "true");
        return;
      }
      answer = { reason, flag };
      dialog.close();
    };
    const dialog: HTMLDialogElement = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "skip-title" },
      h("div", { class: "dialog-head" }, h("h2", { id: "skip-title" }, title)),
      h(
        "div",
        { class: "dialog-body stack" },
        h("p", { class: "muted" }, flag ? "An admin will see it. The pair is not shown to you again." : "The pair goes to someone else and is not shown to you again."),
        h("div", { class: "stack stack-s skip-reasons" }, ...reasons.map((reason, index) => h("button", { type: "button", class: "button", onclick: () => finish(reason) }, h("kbd", {}, index + 1), reason))),
        own,
      ),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Back to the pair"),
        h("button", { type: "button", class: "button button-primary", onclick: () => finish(own.value.trim()) }, flag ? "Report and skip" : "Skip"),
      ),
    );
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === own) {
        event.preventDefault();
        finish(own.value.trim());
        return;
      }
      if (event.target === own || event.ctrlKey || event.metaKey || event.altKey) return;
      const reason = reasons[Number(event.key) - 1];
      if (!reason) return;
      event.preventDefault();
      finish(reason);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector<HTMLElement>(".skip-reasons button")?.focus();
  });
}
