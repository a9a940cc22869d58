import { h } from "../../lib/dom";
import { checkLines, drawPath } from "../../lib/path-overlay";
import { WHOLE } from "../../lib/sprite";
import type { AnswerName, ChoiceResult, Me, Pair, RevealedSide, Side } from "./types";

export const ANSWER_WORDS: Record<AnswerName, string> = { left: "Left is better", right: "Right is better", tie: "Tie", both_bad: "Both bad", cant_tell: "Can't tell" };

/** What a practice pair taught, and what came of the practice. */
export function practiceWords(feedback: NonNullable<ChoiceResult["qualifying"]>): string {
  const over =
    feedback.result === "passed"
      ? " That was the practice; from here on it counts."
      : feedback.result === "failed"
        ? " The practice is over and was not passed: please read the guide again, and ask an admin."
        : "";
  return `Practice pair ${feedback.done} of ${feedback.of}: ${feedback.correct ? "as expected." : "we expected something else."} ${feedback.note}${over}`;
}

/** What the last answer uncovered: whose rollout stood where, its path, its kinematic checks. Drawn after the answer, so it leads nobody. */
export class LastPair {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "last-sides" });
  private readonly answer = h("p", { class: "last-answer" });
  private readonly canvases: Record<Side, HTMLCanvasElement>;
  private readonly captions: Record<Side, HTMLElement>;
  private readonly note = h("p", { class: "notice", hidden: true });
  private greeting: HTMLElement | null = null;
  private pair: Pair | null = null;

  constructor(actions: HTMLElement) {
    this.canvases = { left: h("canvas", { role: "img", "aria-label": "Left rollout of the answered pair" }), right: h("canvas", { role: "img", "aria-label": "Right rollout of the answered pair" }) };
    this.captions = { left: h("figcaption"), right: h("figcaption") };
    for (const side of ["left", "right"] as const) this.body.append(h("figure", {}, this.canvases[side], this.captions[side]));
    this.element = h("section", { class: "last", "aria-labelledby": "last-title", hidden: true }, h("h2", { id: "last-title" }, "The pair before"), this.answer, this.note, this.body, actions);
  }

  /** Until there is a pair before, its place tells a newcomer where to begin. */
  greet(me: Me, guideUrl: string): void {
    if (!me.profile || me.profile.guide_read || me.stats.total > 0 || !guideUrl) return;
    this.greeting = h(
      "section",
      { class: "last", "aria-labelledby": "greeting-title" },
      h("h2", { id: "greeting-title" }, "New here?"),
      h("p", { class: "small" }, me.profile.qualification === "none" ? "The first pairs are practice: after each you are told whether you saw what matters. " : "", "The guide shows with examples what to look for; it takes two minutes."),
      h("div", { class: "row row-s" }, h("a", { class: "button button-small", href: guideUrl }, "Read the guide")),
    );
    this.element.before(this.greeting);
  }

  show(pair: Pair, answer: AnswerName, result: ChoiceResult | null): void {
    this.greeting?.remove();
    this.element.hidden = false;
    this.pair = pair;
    this.answer.textContent = `You said: ${ANSWER_WORDS[answer]}.${result?.late ? " It came after its lease had run out, and was still taken." : ""}`;
    const feedback = result?.qualifying;
    this.note.hidden = !feedback;
    if (feedback) {
      this.note.className = `notice notice-${feedback.correct ? "good" : "warn"}`;
      this.note.textContent = practiceWords(feedback);
    }
    for (const side of ["left", "right"] as const) this.drawSide(side, result?.reveal[side] ?? null);
  }

  clear(): void {
    this.element.hidden = true;
    this.pair = null;
  }

  private drawSide(side: Side, revealed: RevealedSide | null): void {
    if (!this.pair) return;
    const { width, height, frame_count: count } = this.pair.assignment;
    const canvas = this.canvases[side];
    canvas.width = width * 3;
    canvas.height = height * 3;
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) return;
    context.imageSmoothingEnabled = false;
    this.pair[side].draw(context, count - 1);
    if (revealed) drawPath(context, revealed.path_pixels, count - 1, WHOLE, !revealed.verdict.accepted);
    const caption = this.captions[side];
    caption.replaceChildren(h("strong", {}, side === "left" ? "Left" : "Right"));
    if (!revealed) {
      caption.append(" on its way");
      return;
    }
    const broken = checkLines(revealed.verdict).filter((line) => !line.ok);
    caption.append(
      h("span", { class: "truncate", title: revealed.version }, revealed.version),
      h("span", { class: "muted" }, typeof revealed.value === "number" ? `value ${revealed.value.toFixed(2)}` : ""),
      h("span", { class: revealed.verdict.accepted ? "muted" : "is-broken" }, revealed.verdict.accepted ? "kinematics kept" : broken[0]?.text ?? "kinematics broken"),
    );
  }
}
