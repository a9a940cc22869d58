import { RATES, type FrameClock } from "./clock";
import { h, icon, icons } from "./dom";

/**
 * The row of controls of a clock: start, step back, play, step on, scrub, frame number, rate, loop.
 * It changes the clock and then calls `changed`; the owner draws, and calls `update` when the clock moved by itself.
 */
export class Transport {
  readonly element: HTMLElement;
  private readonly playButton: HTMLButtonElement;
  private readonly loopButton: HTMLButtonElement;
  private readonly scrub: HTMLInputElement;
  private readonly counter: HTMLOutputElement;
  private readonly rate: HTMLSelectElement;
  private drawn = "";

  constructor(
    private clock: FrameClock,
    private readonly changed: () => void,
  ) {
    const button = (label: string, path: string, run: () => void): HTMLButtonElement =>
      h("button", { class: "button button-icon", type: "button", "aria-label": label, title: label, onclick: () => this.act(run) }, icon(path));
    this.playButton = button("Play", icons.play, () => this.clock.toggle());
    this.loopButton = button("Loop", icons.loop, () => (this.clock.loop = !this.clock.loop));
    this.scrub = h("input", { type: "range", min: 0, max: clock.frameCount - 1, step: 1, value: 0, "aria-label": "Frame" });
    this.scrub.addEventListener("input", () => this.act(() => {
      this.clock.pause();
      this.clock.seek(Number(this.scrub.value));
    }));
    this.counter = h("output", { "aria-hidden": "true" });
    this.rate = h("select", { "aria-label": "Speed", class: "transport-rate" }, ...RATES.map((rate) => h("option", { value: rate }, `${rate}×`)));
    this.rate.addEventListener("change", () => this.act(() => (this.clock.rate = Number(this.rate.value))));
    this.element = h(
      "div",
      { class: "transport", role: "group", "aria-label": "Playback" },
      button("Back to the start", icons.start, () => this.clock.restart()),
      button("One frame back", icons.back, () => this.clock.step(-1)),
      this.playButton,
      button("One frame on", icons.forward, () => this.clock.step(1)),
      this.scrub,
      this.counter,
      this.rate,
      this.loopButton,
    );
    this.update();
  }

  /** Follows another clock from now on, with the same controls. */
  follow(clock: FrameClock): void {
    this.clock = clock;
    this.scrub.max = String(clock.frameCount - 1);
    this.drawn = "";
    this.update();
  }

  /** The keys that a plain viewer has. Returns false for a key that is not one of them. */
  key(event: KeyboardEvent): boolean {
    const inRange = event.target instanceof HTMLInputElement && event.target.type === "range";
    switch (event.key) {
      case " ":
        if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement) return false;
        this.clock.toggle();
        return true;
      case "ArrowLeft":
      case "ArrowRight":
        if (inRange) return false;
        this.clock.step(event.key === "ArrowLeft" ? -1 : 1);
        return true;
      case "Home":
        this.clock.restart();
        return true;
      case "[":
        this.clock.slower();
        return true;
      case "]":
        this.clock.faster();
        return true;
      default:
        return false;
    }
  }

  update(): void {
    const { frame, frameCount, playing, rate, loop } = this.clock;
    const now = `${frame}/${frameCount}/${playing}/${rate}/${loop}`;
    if (now === this.drawn) return;
    this.drawn = now;
    this.scrub.value = String(frame);
    this.scrub.setAttribute("aria-valuetext", `Frame ${frame + 1} of ${frameCount}`);
    this.counter.textContent = `${frame + 1}/${frameCount}`;
    this.rate.value = String(rate);
    this.loopButton.setAttribute("aria-pressed", String(loop));
    const label = playing ? "Pause" : "Play";
    if (this.playButton.getAttribute("aria-label") !== label) {
      this.playButton.setAttribute("aria-label", label);
      this.playButton.title = label;
      this.playButton.replaceChildren(icon(playing ? icons.pause : icons.play));
    }
  }

  private act(run: () => void): void {
    run();
    this.update();
    this.changed();
  }
}
