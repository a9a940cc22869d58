import { h } from "../../lib/dom";
import { keyLabel, type KeyMap } from "../../lib/keymap";
import { emptyDetails, type CriterionAnswer, type Details, type Me, type Side } from "./types";

const STRENGTHS = ["Slightly", "Clearly", "Much"];
const CRITERION_ANSWERS: { id: CriterionAnswer; label: string }[] = [
  { id: "left", label: "Left" },
  { id: "right", label: "Right" },
  { id: "both", label: "Both" },
  { id: "neither", label: "Neither" },
];
const SUCCESS_WORDS = { null: "not said", true: "yes", false: "no" } as const;

/** The optional questions about a pair: strength, success of each side, criteria, rationale. Segments are kept elsewhere. */
export class DetailsPanel {
  readonly element: HTMLElement;
  private details: Details = emptyDetails();
  private readonly strengthButtons: HTMLButtonElement[];
  private readonly successButtons: Record<Side, HTMLButtonElement>;
  private readonly rationale: HTMLTextAreaElement;
  private readonly radios: HTMLInputElement[] = [];
  private readonly kbds = new Map<string, HTMLElement>();

  constructor(project: Me["project"]) {
    const kbd = (action: string): HTMLElement => {
      const element = h("kbd", {});
      this.kbds.set(action, element);
      return element;
    };
    this.strengthButtons = STRENGTHS.map((label, index) =>
      h("button", { type: "button", class: "button button-small", "aria-pressed": "false", onclick: () => this.toggleStrength(index + 1) }, label, kbd(`strength_${index + 1}`)),
    );
    const success = (side: Side, label: string): HTMLButtonElement =>
      h("button", { type: "button", class: `button button-small success-${side}`, onclick: () => this.cycleSuccess(side) }, h("span", {}, label), h("strong", {}), kbd(`success_${side}`));
    this.successButtons = { left: success("left", "Left"), right: success("right", "Right") };
    this.rationale = h("textarea", { rows: 2, maxlength: 4000, "aria-label": "Why, in a few words", placeholder: "Why, in a few words" });
    this.rationale.addEventListener("input", () => (this.details.rationale = this.rationale.value));
    this.rationale.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.rationale.blur();
    });
    this.element = h(
      "section",
      { class: "details", "aria-labelledby": "details-title" },
      h("h2", { id: "details-title" }, "More, if you like"),
      project.ask_strength ? fieldset("How much better?", h("div", { class: "button-group" }, ...this.strengthButtons)) : null,
      project.ask_success ? fieldset("Did it do what the prompt asks?", h("div", { class: "row row-s" }, this.successButtons.left, this.successButtons.right)) : null,
      ...(project.criteria.length ? [this.criteriaTable(project.criteria, kbd("criteria"))] : []),
      h("div", { class: "field" }, h("span", { class: "details-label" }, "Rationale ", kbd("rationale")), this.rationale),
    );
    this.set(emptyDetails());
  }

  get value(): Details {
    return this.details;
  }

  set(details: Details): void {
    this.details = { ...details, criteria: { ...details.criteria }, success: { ...details.success } };
    this.draw();
  }

  /** Does what an action of the key map asks of this panel. Returns what to say of it, or null if the action is not one of its. */
  act(action: string): string | null {
    switch (action) {
      case "criteria":
        this.focusCriteria();
        return "";
      case "rationale":
        this.rationale.focus();
        return "";
      case "strength_1":
      case "strength_2":
      case "strength_3":
        this.toggleStrength(Number(action.slice(-1)));
        return this.details.strength === null ? "How much better: not said" : `${STRENGTHS[this.details.strength - 1]} better`;
      case "success_left":
      case "success_right": {
        const side = action === "success_left" ? "left" : "right";
        this.cycleSuccess(side);
        return `${side}: success ${SUCCESS_WORDS[String(this.details.success[side]) as keyof typeof SUCCESS_WORDS]}`;
      }
      default:
        return null;
    }
  }

  private toggleStrength(strength: number): void {
    this.details.strength = this.details.strength === strength ? null : strength;
    this.draw();
  }

  private cycleSuccess(side: Side): void {
    const before = this.details.success[side];
    this.details.success[side] = before === null ? true : before ? false : null;
    this.draw();
  }

  private focusCriteria(): void {
    const first = this.radios.find((radio) => radio.checked) ?? this.radios[0];
    first?.focus();
  }

  showKeys(keys: KeyMap, on: boolean): void {
    for (const [action, element] of this.kbds) {
      const key = keys.keyOf(action);
      element.textContent = keyLabel(key);
      element.hidden = !on || !key;
    }
  }

  private criteriaTable(criteria: { key: string; label: string }[], kbd: HTMLElement): HTMLElement {
    const rows = criteria.map(({ key, label }) => {
      const cells = CRITERION_ANSWERS.map(({ id, label: answer }) => {
        const radio = h("input", { type: "radio", name: `criterion-${key}`, value: id, "aria-label": `${label}: ${answer}` });
        radio.addEventListener("change", () => (this.details.criteria[key] = id));
        radio.addEventListener("click", () => {
          if (radio.dataset["was"] === "1") {
            radio.checked = false;
            delete this.details.criteria[key];
          }
          this.markChecked();
        });
        radio.addEventListener("keydown", (event) => event.key === "Escape" && radio.blur());
        this.radios.push(radio);
        return h("td", {}, h("label", { class: "criterion-cell" }, radio));
      });
      return h("tr", {}, h("th", { scope: "row" }, label), ...cells);
    });
    return h(
      "table",
      { class: "criteria" },
      h("caption", {}, "Which side does this? ", kbd),
      h("thead", {}, h("tr", {}, h("td", {}), ...CRITERION_ANSWERS.map(({ label }) => h("th", { scope: "col" }, label)))),
      h("tbody", {}, ...rows),
    );
  }

  private draw(): void {
    this.strengthButtons.forEach((button, index) => button.setAttribute("aria-pressed", String(this.details.strength === index + 1)));
    for (const side of ["left", "right"] as const) {
      const value = this.details.success[side];
      const word = SUCCESS_WORDS[String(value) as keyof typeof SUCCESS_WORDS];
      const button = this.successButtons[side];
      button.dataset["value"] = String(value);
      const strong = button.querySelector("strong");
      if (strong && strong.textContent !== word) strong.textContent = word;
    }
    for (const radio of this.radios) radio.checked = this.details.criteria[radio.name.slice("criterion-".length)] === radio.value;
    this.markChecked();
    if (this.rationale.value !== this.details.rationale) this.rationale.value = this.details.rationale;
  }

  /** A click on the chosen one takes it back, which radios do not do by themselves. */
  private markChecked(): void {
    for (const radio of this.radios) radio.dataset["was"] = radio.checked ? "1" : "0";
  }
}

function fieldset(legend: string, ...children: Node[]): HTMLElement {
  return h("fieldset", { class: "details-set" }, h("legend", { class: "details-label" }, legend), ...children);
}
