/**
 * `data-opens="id"` opens a <dialog>, `data-closes` closes the one it stands in, a click on the backdrop closes it too.
 * `data-confirm="question"` on a form or button asks first, in a dialog of the page's own look.
 */
export function startDialogs(): void {
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    const opener = target.closest<HTMLElement>("[data-opens]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset["opens"] ?? "");
      if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
      return;
    }
    const closer = target.closest("[data-closes]");
    if (closer) closer.closest("dialog")?.close();
    else if (target instanceof HTMLDialogElement && !target.hasAttribute("data-modal")) target.close();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    const submitter = event.submitter;
    const question = submitter?.dataset["confirm"] ?? form.dataset["confirm"];
    if (!question || form.dataset["confirmed"]) {
      delete form.dataset["confirmed"];
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    void confirmDialog(question, submitter?.textContent?.trim() || "Yes").then((yes) => {
      if (!yes) return;
      form.dataset["confirmed"] = "1";
      form.requestSubmit(submitter as HTMLElement | null);
    });
  }, true);

  document.addEventListener("htmx:confirm", (event) => {
    const detail = (event as CustomEvent<{ question: string | null; issueRequest: (skip: boolean) => void }>).detail;
    if (!detail.question) return;
    event.preventDefault();
    void confirmDialog(detail.question, "Yes").then((yes) => yes && detail.issueRequest(true));
  });
}

/** Asks a question in a dialog. Resolves to true only if the person agrees. */
export function confirmDialog(question: string, yes: string): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.className = "dialog";
    dialog.setAttribute("aria-label", question);
    const body = document.createElement("div");
    body.className = "dialog-body";
    const text = document.createElement("p");
    text.textContent = question;
    body.append(text);
    const foot = document.createElement("div");
    foot.className = "dialog-foot";
    const no = button("Back", "button"); // not "Cancel": some questions are whether to cancel something
    const ok = button(yes, "button button-primary");
    foot.append(no, ok);
    dialog.append(body, foot);
    document.body.append(dialog);
    no.addEventListener("click", () => dialog.close("no"));
    ok.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
    no.focus();
  });
}

function button(label: string, className: string): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = label;
  return element;
}
