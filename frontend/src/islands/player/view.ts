import { h, icon, icons } from "../../lib/dom";
import { keyLabel, type KeyMap } from "../../lib/keymap";
import type { AnswerName } from "./types";

const ANSWERS: { id: AnswerName; label: string; short: string }[] = [
  { id: "left", label: "Left is better", short: "Left" },
  { id: "tie", label: "Tie", short: "Tie" },
  { id: "both_bad", label: "Both bad", short: "Both bad" },
  { id: "cant_tell", label: "Can't tell", short: "Can't tell" },
  { id: "right", label: "Right is better", short: "Right" },
];

const QUESTION = "Which side does this better?";

/** The fixed parts of the page: prompt, answers, banners, states without a pair. No logic beyond showing what it is told. */
export class PlayerView {
  readonly prompt = h("h1", { class: "player-prompt" }, "");
  readonly ask = h("p", { class: "muted player-ask" }, QUESTION);
  readonly start = h("canvas", { class: "player-start pixelated", role: "img", "aria-label": "The start frame that both sides share" });
  readonly counts = h("span", { class: "num" });
  readonly session = h("span", { class: "num", title: "How long this session lasts" });
  readonly outbox = h("button", { type: "button", class: "player-outbox", "data-state": "ready" });
  readonly banner = h("div", { class: "player-banner", role: "status" });
  readonly empty = h("div", { class: "player-empty", hidden: true });
  readonly said = h("p", { class: "visually-hidden", role: "status" });
  readonly work = h("div", { class: "player-work" });
  readonly answers = h("div", { class: "player-answers", role: "group", "aria-label": "Which rollout is better?" });
  readonly moving = h("div", { class: "player-moving row row-s" });
  readonly settings: HTMLButtonElement;
  private readonly kbds = new Map<string, HTMLElement>();
  private readonly startContext = this.start.getContext("2d", { alpha: false });

  constructor(answer: (name: AnswerName) => void, act: (action: string) => void) {
    for (const { id, label, short } of ANSWERS) {
      this.answers.append(h("button", { type: "button", class: `answer answer-${id}`, "data-answer": id, onclick: () => answer(id) }, h("span", { class: "answer-long" }, label), h("span", { class: "answer-short" }, short), this.kbd(id)));
    }
    const quiet = (action: string, label: string, glyph?: SVGSVGElement): HTMLButtonElement => h("button", { type: "button", class: "button button-quiet button-small", "data-act": action, onclick: () => act(action) }, glyph ?? null, label, this.kbd(action));
    this.moving.append(quiet("undo", "Undo", icon(icons.undo)), quiet("skip", "Skip"), quiet("flag", "Report"));
    this.settings = h("button", { type: "button", class: "button button-quiet button-small", onclick: () => act("settings") }, "Keys and habits");
    this.moving.append(this.settings);
  }

  /** A key's picture that follows the key map. */
  kbd(action: string): HTMLElement {
    const element = h("kbd", {});
    this.kbds.set(action, element);
    return element;
  }

  showKeys(keys: KeyMap, on: boolean): void {
    for (const [action, element] of this.kbds) {
      const key = keys.keyOf(action);
      element.textContent = keyLabel(key);
      element.hidden = !on || !key;
    }
  }

  /** While the answered pair is looked at again, its line says so and leads back. */
  setReview(end: (() => void) | null): void {
    if (end) this.ask.replaceChildren("The pair that you answered, with the inferred paths. ", h("button", { type: "button", class: "button button-small button-primary", onclick: end }, "Go on ", h("kbd", {}, "Esc")));
    else this.ask.replaceChildren(QUESTION);
  }

  drawStart(draw: (context: CanvasRenderingContext2D) => void, width: number, height: number): void {
    if (!this.startContext) return;
    if (this.start.width !== width || this.start.height !== height) {
      this.start.width = width;
      this.start.height = height;
    }
    draw(this.startContext);
  }

  /** Shows a message above the pair, or hides it with "". */
  setBanner(kind: "" | "info" | "warn" | "bad", text: string, ...actions: HTMLElement[]): void {
    const same = this.banner.dataset["text"] === `${kind}${text}`;
    if (same) return;
    this.banner.dataset["text"] = `${kind}${text}`;
    this.banner.className = kind ? `player-banner notice notice-${kind}` : "player-banner";
    this.banner.replaceChildren(...(text ? [h("p", { class: "grow" }, text), ...actions] : []));
  }

  /** Shows a page without a pair in place of the work, or the work with null. */
  setEmpty(content: { title: string; text: string; actions?: HTMLElement[]; busy?: boolean } | null): void {
    this.empty.hidden = content === null;
    this.work.hidden = content !== null;
    if (!content) {
      this.empty.dataset["title"] = "";
      return;
    }
    const line = this.empty.querySelector<HTMLElement>("[data-line]");
    if (this.empty.dataset["title"] === content.title && line) {
      line.textContent = content.text;
      return;
    }
    this.empty.dataset["title"] = content.title;
    this.empty.replaceChildren(
      h("div", { class: "empty" }, h("h2", {}, content.busy ? h("span", { class: "spinner", "aria-hidden": "true" }) : null, content.busy ? " " : null, content.title), h("p", { "data-line": true }, content.text), h("div", { class: "row" }, ...(content.actions ?? []))),
    );
  }
}
