import { describe, expect, it } from "vitest";
import { SegmentMarker } from "../src/lib/segments";

describe("SegmentMarker", () => {
  it("marks the frames that pass while the key is held, both ends included", () => {
    const marker = new SegmentMarker(13);
    marker.press("left", 3);
    for (const frame of [4, 5, 6]) marker.moved(frame);
    marker.release("left");
    marker.moved(7);
    expect(marker.segments).toEqual([{ side: "left", from: 3, to: 6 }]);
  });

  it("marks one frame on a tap", () => {
    const marker = new SegmentMarker(13);
    marker.press("right", 5);
    marker.release("right");
    expect(marker.segments).toEqual([{ side: "right", from: 5, to: 5 }]);
  });

  it("joins what touches, and keeps the sides apart", () => {
    const marker = new SegmentMarker(13);
    marker.set([{ side: "left", from: 0, to: 2 }, { side: "left", from: 6, to: 8 }, { side: "right", from: 3, to: 5 }]);
    marker.press("left", 3);
    marker.moved(5);
    marker.release("left");
    expect(marker.segments).toEqual([{ side: "left", from: 0, to: 8 }, { side: "right", from: 3, to: 5 }]);
  });

  it("goes on over the end of a loop", () => {
    const marker = new SegmentMarker(10);
    marker.press("left", 8);
    marker.moved(9);
    marker.moved(0);
    marker.moved(1);
    marker.release("left");
    expect(marker.segments).toEqual([{ side: "left", from: 0, to: 1 }, { side: "left", from: 8, to: 9 }]);
  });

  it("marks both sides at once, and shows what is still held", () => {
    const marker = new SegmentMarker(10);
    marker.press("left", 1);
    marker.press("right", 1);
    marker.moved(2);
    expect(marker.segments).toHaveLength(2);
    expect(marker.holding).toEqual(["left", "right"]);
    marker.releaseAll();
    expect(marker.holding).toEqual([]);
  });

  it("removes the segment under a frame", () => {
    const marker = new SegmentMarker(10);
    marker.set([{ side: "left", from: 1, to: 3 }, { side: "left", from: 7, to: 8 }]);
    marker.remove("left", 2);
    marker.remove("right", 7);
    expect(marker.segments).toEqual([{ side: "left", from: 7, to: 8 }]);
  });
});
