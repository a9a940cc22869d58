/** Measures time that can be stopped and gone on with, from a monotonic clock in milliseconds. */
export class Stopwatch {
  private total = 0;
  private since: number | null = null;

  constructor(private readonly now: () => number = () => performance.now()) {}

  get running(): boolean {
    return this.since !== null;
  }
  get ms(): number {
    return Math.round(this.total + (this.since === null ? 0 : this.now() - this.since));
  }
  start(): void {
    this.since ??= this.now();
  }
  stop(): void {
    if (this.since === null) return;
    this.total += this.now() - this.since;
    this.since = null;
  }
  reset(): void {
    this.total = 0;
    if (this.since !== null) this.since = this.now();
  }
}
