import { describe, expect, it } from "vitest";
import { FrameClock, runPlayback } from "../src/lib/clock";

/** Runs the clock in steps of `step` ms from 0 to `until` and collects the frames that were drawn, with their times. */
function run(clock: FrameClock, until: number, step = 10): [number, number][] {
  const drawn: [number, number][] = [[0, clock.frame]];
  for (let now = 0; now <= until; now += step) if (clock.tick(now)) drawn.push([now, clock.frame]);
  return drawn;
}

describe("FrameClock", () => {
  it("shows each frame for 1/fps and loops", () => {
    const clock = new FrameClock({ frameCount: 3, fps: 10 });
    clock.play();
    expect(run(clock, 320).map(([, frame]) => frame)).toEqual([0, 1, 2, 0]);
    expect(clock.replays).toBe(1);
  });

  it("is not thrown off by the rhythm of the screen", () => {
    const at = (step: number): number => {
      const clock = new FrameClock({ frameCount: 100, fps: 3 });
      clock.play();
      run(clock, 8900, step);
      return clock.frame;
    };
    expect(at(1000 / 60)).toBe(at(1000 / 144));
    expect(at(1000 / 144)).toBe(at(10));
  });

  it("holds the intro before the first pass only, at any rate", () => {
    const clock = new FrameClock({ frameCount: 2, fps: 10, introMs: 200, rate: 2 });
    clock.play();
    expect(run(clock, 460)).toEqual([[0, 0], [250, 1], [300, 0], [350, 1], [400, 0], [450, 1]]);
  });

  it("pauses on the last frame before a loop", () => {
    const clock = new FrameClock({ frameCount: 2, fps: 10, endMs: 300 });
    clock.play();
    expect(run(clock, 600)).toEqual([[0, 0], [100, 1], [500, 0], [600, 1]]);
  });

  it("stops at the end without a loop, and plays again from the start", () => {
    const clock = new FrameClock({ frameCount: 2, fps: 10, loop: false });
    clock.play();
    run(clock, 500);
    expect([clock.frame, clock.playing]).toEqual([1, false]);
    clock.play();
    expect([clock.frame, clock.playing, clock.replays]).toEqual([0, true, 1]);
  });

  it("steps exactly one frame and pauses", () => {
    const clock = new FrameClock({ frameCount: 5, fps: 3 });
    clock.play();
    clock.step(1);
    expect([clock.frame, clock.playing]).toEqual([1, false]);
    clock.step(-3);
    expect(clock.frame).toBe(0);
    clock.seek(99);
    expect(clock.frame).toBe(4);
  });

  it("does not race through the clip after a sleep", () => {
    const clock = new FrameClock({ frameCount: 100, fps: 10 });
    clock.play();
    clock.tick(0);
    clock.tick(60_000);
    expect(clock.frame).toBe(2);
  });

  it("keeps the rate between a quarter and twice", () => {
    const clock = new FrameClock({ frameCount: 5, fps: 3 });
    for (let i = 0; i < 9; i += 1) clock.faster();
    expect(clock.rate).toBe(2);
    for (let i = 0; i < 9; i += 1) clock.slower();
    expect(clock.rate).toBe(0.25);
  });

  it("refuses a clip without frames or speed", () => {
    expect(() => new FrameClock({ frameCount: 0, fps: 3 })).toThrow(RangeError);
    expect(() => new FrameClock({ frameCount: 3, fps: 0 })).toThrow(RangeError);
  });

  it("runs the actions of the key map", () => {
    const clock = new FrameClock({ frameCount: 5, fps: 3 });
    runPlayback(clock, "step_on");
    runPlayback(clock, "loop");
    expect([clock.frame, clock.loop]).toEqual([1, false]);
    runPlayback(clock, "restart");
    expect([clock.frame, clock.playing, clock.replays]).toEqual([0, true, 1]);
  });
});
