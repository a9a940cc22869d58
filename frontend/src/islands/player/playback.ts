import { FrameClock } from "../../lib/clock";
import { Transport } from "../../lib/transport";
import { Lanes } from "./lanes";
import { Review } from "./review";
import type { ShownPair } from "./shown";
import { Stage, VIEWS, type StageView } from "./stage";
import type { Side } from "./types";
import type { PlayerView } from "./view";

export interface PlaybackEvents {
  /** The person wants back from the pair that was looked at again. */
  endReview: () => void;
  /** How the person plays clips, after something about it was changed. */
  played: (rate: number, loop: boolean) => void;
  say: (text: string) => void;
}

/** Everything that moves: one clock, the stage that draws both sides from it, its controls, and the stretches that are marked while it runs. */
export class Playback {
  /** The pair to be answered, which may stand behind the one that is looked at again. */
  shown: ShownPair | null = null;
  readonly stage: Stage;
  readonly transport: Transport;
  readonly lanes: Lanes;
  readonly review: Review;
  readonly reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  private request = 0;

  constructor(
    private readonly root: HTMLElement,
    view: PlayerView,
    private readonly events: PlaybackEvents,
  ) {
    this.stage = new Stage(this.reducedMotion);
    this.transport = new Transport(new FrameClock({ frameCount: 1, fps: 1 }), () => this.changed());
    this.review = new Review(root, this.stage, this.transport, view, events.endReview);
    this.lanes = new Lanes(
      (frame) => this.seek(frame),
      (side, frame) => {
        this.shown?.marker.remove(side, frame);
        this.drawLanes();
      },
    );
  }

  /** The clock that drives what is on the screen. */
  get clock(): FrameClock | undefined {
    return this.review.clock ?? this.shown?.clock;
  }

  start(): void {
    this.loop(performance.now());
  }

  stop(): void {
    cancelAnimationFrame(this.request);
    this.stage.stop();
  }

  /** Puts a pair on the stage at its clock's frame, and lets it run. */
  show(shown: ShownPair): void {
    this.shown = shown;
    this.resume(shown);
    this.lanes.setFrames(shown.pair.assignment.frame_count);
    this.drawLanes();
  }

  /** Goes on with the pair to be answered, or shows nothing. */
  resume(shown: ShownPair | null): void {
    this.stage.overlay = false;
    this.showPathsButton();
    this.stage.show(shown?.pair ?? null, null, shown?.clock.frame ?? 0);
    if (!shown) return;
    this.transport.follow(shown.clock);
    if (!this.reducedMotion) shown.clock.play();
  }

  /** Something about the clock was changed by hand. */
  changed(): void {
    const { clock } = this;
    if (clock) this.events.played(clock.rate, clock.loop);
    this.draw();
  }

  hold(side: Side): void {
    if (!this.shown || this.review.clock) return;
    this.shown.marker.press(side, this.shown.clock.frame);
    this.drawLanes();
  }

  release(side: Side): void {
    if (!this.shown) return;
    this.shown.marker.release(side);
    this.drawLanes();
    const count = this.shown.marker.segments.filter((one) => one.side === side).length;
    this.events.say(`${side}: ${count} ${count === 1 ? "stretch" : "stretches"} marked as worse`);
  }

  /** Draws the inferred paths over the pair to be answered, or takes them away, where the project hands them out before the answer. */
  togglePaths(): void {
    const paths = this.shown?.paths;
    if (!this.shown || !paths || this.review.clock) return this.events.say("Paths are shown after the answer.");
    this.stage.overlay = !this.stage.overlay;
    this.shown.sawPaths ||= this.stage.overlay;
    this.stage.setReveal(paths);
    this.showPathsButton();
    const broken = (["left", "right"] as const).filter((side) => !paths[side].verdict.accepted);
    this.events.say(this.stage.overlay ? `Paths shown. ${broken.length > 0 ? `Kinematic limits broken: ${broken.join(" and ")}.` : "Kinematics kept on both sides."}` : "Paths hidden.");
  }

  private showPathsButton(): void {
    const button = this.root.querySelector<HTMLElement>("[data-act=paths]");
    if (!button) return;
    button.hidden = !this.shown?.paths;
    button.setAttribute("aria-pressed", String(this.stage.overlay));
  }

  setView(view: StageView): void {
    this.stage.setView(view);
    for (const button of this.root.querySelectorAll<HTMLElement>(".views [data-view]")) button.setAttribute("aria-pressed", String(button.dataset["view"] === view));
    this.events.say(VIEWS.find(({ id }) => id === view)?.label ?? "");
  }

  private loop(now: number): void {
    if (this.clock?.tick(now)) this.draw();
    this.request = requestAnimationFrame((next) => this.loop(next));
  }

  private draw(): void {
    const { clock } = this;
    if (!clock) return;
    this.stage.draw(clock.frame);
    this.transport.update();
    if (this.review.clock || !this.shown) return;
    this.shown.marker.moved(clock.frame);
    this.drawLanes();
  }

  private drawLanes(): void {
    if (this.shown) this.lanes.draw(this.shown.marker, this.shown.clock.frame);
  }

  private seek(frame: number): void {
    this.clock?.pause();
    this.clock?.seek(frame);
    this.draw();
  }
}
