import { FrameClock } from "../../lib/clock";
import type { Transport } from "../../lib/transport";
import { END_MS } from "./shown";
import type { Stage } from "./stage";
import type { Pair, Reveal } from "./types";
import type { PlayerView } from "./view";

/** Looking again at the pair that was just answered, with its paths and broken limits. It has a clock of its own. */
export class Review {
  clock: FrameClock | null = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly stage: Stage,
    private readonly transport: Transport,
    private readonly view: PlayerView,
    private readonly end: () => void,
  ) {}

  /** Puts the answered pair on the screen. Paths are drawn as soon as the server has revealed them. */
  open(pair: Pair, reveal: Reveal | null, rate: number, autoplay: boolean): void {
    const { frame_count: frameCount, fps, prompt } = pair.assignment;
    this.clock = new FrameClock({ frameCount, fps, rate, endMs: END_MS });
    this.stage.overlay = true;
    this.stage.show(pair, reveal, 0);
    this.transport.follow(this.clock);
    if (autoplay) this.clock.play();
    this.root.classList.add("is-review");
    this.view.setEmpty(null);
    this.view.prompt.textContent = prompt;
    this.view.setReview(this.end);
    // On a narrow screen one asks for it from below the stage.
    if (this.stage.element.getBoundingClientRect().top < 0) scrollTo({ top: 0 });
  }

  close(): void {
    this.clock = null;
    this.stage.overlay = false;
    this.root.classList.remove("is-review");
    this.view.setReview(null);
  }
}
