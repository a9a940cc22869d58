import { FrameClock } from "../../lib/clock";
import { SegmentMarker } from "../../lib/segments";
import { Stopwatch } from "../../lib/stopwatch";
import type { AnswerName, Details, Drawn, Pair, Side } from "./types";

const INTRO_MS = 450; // the start frame, which both sides share, stands this long before they part
export const END_MS = 500;
const BOUNCE_MS = 150; // nobody judges a pair this fast: it is a key that bounced

/** The pair on the screen: its clock, what was marked on it, and how long it was looked at. */
export class ShownPair {
  readonly clock: FrameClock;
  readonly marker: SegmentMarker;
  /** What may be drawn over the sides before the answer; null where the project keeps it for afterwards. */
  readonly paths: Record<Side, Drawn> | null;
  /** Whether it was. */
  sawPaths = false;
  private readonly response: Stopwatch;
  private readonly visible: Stopwatch;
  private readonly at: number;

  constructor(
    readonly pair: Pair,
    details: Details,
    settings: { rate?: number; loop?: boolean },
    private readonly now: () => number = () => performance.now(),
  ) {
    const { frame_count: frameCount, fps } = pair.assignment;
    this.clock = new FrameClock({ frameCount, fps, rate: settings.rate ?? 1, loop: settings.loop ?? true, introMs: INTRO_MS, endMs: END_MS });
    this.marker = new SegmentMarker(frameCount);
    this.marker.set(details.segments);
    const { left, right } = pair.assignment;
    this.paths =
      left.path_pixels && left.verdict && right.path_pixels && right.verdict
        ? { left: { path_pixels: left.path_pixels, verdict: left.verdict }, right: { path_pixels: right.path_pixels, verdict: right.verdict } }
        : null;
    this.response = new Stopwatch(now);
    this.visible = new Stopwatch(now);
    this.at = now();
  }

  /** Whether an answer now can be meant. */
  get answerable(): boolean {
    return this.now() - this.at >= BOUNCE_MS;
  }

  /** The person looks at it, from now on. */
  begin(isVisible: boolean): void {
    this.response.start();
    if (isVisible) this.visible.start();
  }
  setVisible(isVisible: boolean): void {
    if (isVisible && this.response.running) this.visible.start();
    else this.visible.stop();
  }
  /** Something else is on the screen for a while. */
  interrupt(): void {
    this.clock.pause();
    this.response.stop();
    this.visible.stop();
  }

  /** The request body of an answer to this pair. */
  answer(answer: AnswerName, details: Details, client: Record<string, unknown>): Record<string, unknown> {
    return {
      lease: this.pair.assignment.lease,
      answer,
      strength: answer === "left" || answer === "right" ? details.strength : null,
      criteria: Object.keys(details.criteria).length > 0 ? details.criteria : null,
      success_left: details.success.left,
      success_right: details.success.right,
      segments: details.segments,
      rationale: details.rationale.trim(),
      response_ms: this.response.ms,
      replays: this.clock.replays,
      visible_ms: this.visible.ms,
      client: { ...client, paths: this.sawPaths },
    };
  }
}
