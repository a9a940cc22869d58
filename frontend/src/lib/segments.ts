export type Side = "left" | "right";
export interface Segment {
  side: Side;
  from: number;
  to: number;
}

/**
 * The stretches of frames in which one side is worse, marked by holding a key. Both ends belong to the segment. Segments of one side
 * that touch or overlap become one. When a clip loops while the key is held, the segment ends at the last frame and goes on from the first.
 */
export class SegmentMarker {
  private done: Segment[] = [];
  private readonly held = new Map<Side, { from: number; last: number }>();

  constructor(private readonly frameCount: number) {}

  /** The marked segments, those being held included, ordered by side and start. */
  get segments(): Segment[] {
    let all = this.done;
    for (const [side, { from, last }] of this.held) all = add(all, { side, from, to: last });
    return all;
  }

  get holding(): Side[] {
    return [...this.held.keys()];
  }

  press(side: Side, frame: number): void {
    if (!this.held.has(side)) this.held.set(side, { from: frame, last: frame });
  }

  /** Tells that the clip went on to `frame` while a key may be held. Going back to an earlier frame begins a new stretch. */
  moved(frame: number): void {
    for (const [side, hold] of this.held) {
      if (frame >= hold.last) {
        hold.last = frame;
        continue;
      }
      const wrapped = frame === 0;
      this.done = add(this.done, { side, from: hold.from, to: wrapped ? this.frameCount - 1 : hold.last });
      this.held.set(side, { from: frame, last: frame });
    }
  }

  release(side: Side): void {
    const hold = this.held.get(side);
    if (!hold) return;
    this.held.delete(side);
    this.done = add(this.done, { side, from: hold.from, to: hold.last });
  }

  releaseAll(): void {
    for (const side of [...this.held.keys()]) this.release(side);
  }

  /** Removes the segment of this side that holds this frame. */
  remove(side: Side, frame: number): void {
    this.done = this.done.filter((one) => one.side !== side || frame < one.from || frame > one.to);
  }

  set(segments: Segment[]): void {
    this.held.clear();
    this.done = segments.reduce<Segment[]>((all, one) => add(all, one), []);
  }
}

function add(all: Segment[], added: Segment): Segment[] {
  let { from, to } = added;
  const rest: Segment[] = [];
  for (const one of all) {
    if (one.side !== added.side || one.to < from - 1 || one.from > to + 1) rest.push(one);
    else {
      from = Math.min(from, one.from);
      to = Math.max(to, one.to);
    }
  }
  return [...rest, { side: added.side, from, to }].sort((a, b) => a.side.localeCompare(b.side) || a.from - b.from);
}
