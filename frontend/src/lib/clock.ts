export const RATES = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2] as const;

export interface ClockOptions {
  frameCount: number;
  fps: number;
  rate?: number;
  loop?: boolean;
  /** How long frame 0 stands before the first pass, in milliseconds at any rate. */
  introMs?: number;
  /** How long the last frame stands before a loop starts again. */
  endMs?: number;
}

/**
 * The one clock of a player. Everything that is drawn asks it for `frame`, an integer in [0, frameCount): two sides can not drift apart,
 * because there is nothing that could.
 *
 * It knows no timers: call `tick(now)` with a monotonic time in milliseconds and draw when it returns true.
 */
export class FrameClock {
  readonly frameCount: number;
  readonly fps: number;
  loop: boolean;
  /** Passes that were begun after the first one, by looping or by going back to the start. */
  replays = 0;
  private rateValue: number;
  private playingValue = false;
  private frameValue = 0;
  private elapsed = 0; // milliseconds that the current frame has stood, in clip time
  private wait: number; // milliseconds that are left of an intro or of the pause before a loop, in real time
  private last: number | null = null;
  private readonly endMs: number;

  constructor(options: ClockOptions) {
    if (!Number.isInteger(options.frameCount) || options.frameCount < 1) throw new RangeError(`frameCount must be a positive integer, not ${options.frameCount}.`);
    if (!(options.fps > 0)) throw new RangeError(`fps must be positive, not ${options.fps}.`);
    this.frameCount = options.frameCount;
    this.fps = options.fps;
    this.rateValue = options.rate ?? 1;
    this.loop = options.loop ?? true;
    this.wait = options.introMs ?? 0;
    this.endMs = options.endMs ?? 0;
  }

  get frame(): number {
    return this.frameValue;
  }
  get playing(): boolean {
    return this.playingValue;
  }
  get rate(): number {
    return this.rateValue;
  }
  set rate(value: number) {
    this.rateValue = Math.min(Math.max(value, RATES[0]), RATES[RATES.length - 1] ?? 2);
  }
  get atEnd(): boolean {
    return this.frameValue === this.frameCount - 1;
  }

  /** Starts or goes on. At the end without a loop it starts again from the first frame. */
  play(): void {
    if (this.playingValue) return;
    if (this.atEnd && !this.loop) this.restart();
    this.playingValue = true;
    this.last = null;
  }

  pause(): void {
    this.playingValue = false;
    this.last = null;
  }

  toggle(): void {
    if (this.playingValue) this.pause();
    else this.play();
  }

  /** Goes to a frame; a frame outside of the clip is clamped to it. */
  seek(frame: number): void {
    this.frameValue = Math.min(Math.max(Math.round(frame), 0), this.frameCount - 1);
    this.elapsed = 0;
    this.wait = 0;
  }

  /** Pauses and goes exactly `count` frames on (or back). */
  step(count: number): void {
    this.pause();
    this.seek(this.frameValue + count);
  }

  /** Back to the first frame; counts as a replay unless nothing was shown yet. */
  restart(): void {
    if (this.frameValue > 0) this.replays += 1;
    this.seek(0);
  }

  faster(): void {
    this.rateValue = RATES.find((rate) => rate > this.rateValue) ?? this.rateValue;
  }
  slower(): void {
    this.rateValue = [...RATES].reverse().find((rate) => rate < this.rateValue) ?? this.rateValue;
  }

  /** Lets time pass until `now`. Returns true when the frame changed. */
  tick(now: number): boolean {
    if (!this.playingValue) return false;
    if (this.last === null) {
      this.last = now;
      return false;
    }
    // A tab that was asleep must not race through the clip when it wakes.
    let passed = Math.min(Math.max(now - this.last, 0), 250);
    this.last = now;
    const before = this.frameValue;
    const beforeReplays = this.replays;
    while (passed > 0 && this.playingValue) {
      if (this.wait > 0) {
        const used = Math.min(this.wait, passed);
        this.wait -= used;
        passed -= used;
        if (this.wait === 0 && this.atEnd) this.wrap();
        continue;
      }
      const needed = (1000 / this.fps - this.elapsed) / this.rateValue;
      if (passed < needed) {
        this.elapsed += passed * this.rateValue;
        break;
      }
      passed -= needed;
      this.elapsed = 0;
      if (!this.atEnd) this.frameValue += 1;
      else if (!this.loop) this.pause();
      else if (this.endMs > 0) this.wait = this.endMs;
      else this.wrap();
    }
    return this.frameValue !== before || this.replays !== beforeReplays;
  }

  private wrap(): void {
    this.frameValue = 0;
    this.elapsed = 0;
    this.replays += 1;
  }
}

/** Does what an action of the key map asks of a clock; other actions do nothing. */
export function runPlayback(clock: FrameClock, action: string): void {
  switch (action) {
    case "play":
      return clock.toggle();
    case "step_back":
      return clock.step(-1);
    case "step_on":
      return clock.step(1);
    case "restart":
      clock.restart();
      return clock.play();
    case "slower":
      return clock.slower();
    case "faster":
      return clock.faster();
    case "loop":
      clock.loop = !clock.loop;
  }
}
