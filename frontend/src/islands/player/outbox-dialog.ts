import { h } from "../../lib/dom";
import type { Outbox, OutboxEntry } from "../../lib/outbox";
import { ANSWER_WORDS } from "./last-pair";
import type { AnswerName } from "./types";

const STATE_WORDS: Record<Outbox["state"], string> = {
  ready: "Everything that you answered is on the server.",
  offline: "The server can not be reached. It is tried again and again.",
  server: "The server has trouble. It is tried again and again.",
  signed_out: "Your session has expired. Sign in again, and they are sent.",
  wrong_person: "Someone else is signed in here. They are sent when you sign in again.",
};

/** Why the server did not take an answer, in words for the person who gave it. */
export function refusalWords(entry: OutboxEntry): string {
  switch (entry.refused?.code) {
    case "lease_lost":
      return "An answer came too late: its time had run out and someone else has the pair now. It does not count, but is kept here.";
    case "comparison_closed":
      return "An answer was not needed any more: the pair has all its answers, or was retired.";
    case "already_answered":
      return "You had answered that pair already; the first answer stands.";
    default:
      return `The server did not take an answer: ${entry.refused?.detail || `it answered ${entry.refused?.status ?? "with an error"}`}.`;
  }
}

/** Lists what waits and what was refused. */
export function openOutboxDialog(outbox: Outbox): void {
  const list = h("ul", { class: "outbox-list" });
  const line = h("p");
  const dialog: HTMLDialogElement = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "outbox-title" },
    h("div", { class: "dialog-head" }, h("h2", { id: "outbox-title" }, "Your answers in this browser")),
    h("div", { class: "dialog-body stack" }, line, list),
    h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button", onclick: () => void outbox.flush().then(draw) }, "Send now"), h("button", { type: "button", class: "button button-primary", onclick: () => dialog.close() }, "Close")),
  );
  const draw = (): void => {
    const { waiting, refused } = outbox;
    line.textContent = waiting.length > 0 ? `${waiting.length} ${waiting.length === 1 ? "waits" : "wait"} to be sent. ${outbox.state === "ready" ? "" : STATE_WORDS[outbox.state]}` : STATE_WORDS.ready;
    list.replaceChildren(
      ...[...waiting, ...refused].map((entry) =>
        h(
          "li",
          {},
          h("strong", {}, entry.kind === "skip" ? "Skip" : ANSWER_WORDS[entry.body["answer"] as AnswerName]),
          h("span", { class: "muted small" }, new Date(entry.createdAt).toLocaleString()),
          entry.refused ? h("span", { class: "grow small" }, refusalWords(entry)) : h("span", { class: "grow small muted" }, "waiting"),
          entry.refused ? h("button", { type: "button", class: "button button-small", onclick: () => void outbox.dismiss(entry.id).then(draw) }, "Forget it") : null,
        ),
      ),
    );
  };
  dialog.addEventListener("close", () => dialog.remove());
  draw();
  document.body.append(dialog);
  dialog.showModal();
}
