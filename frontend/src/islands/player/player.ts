import { ApiError } from "../../lib/api";
import { FrameClock, runPlayback } from "../../lib/clock";
import { afterPaint, h } from "../../lib/dom";
import type { Outbox, OutboxEntry } from "../../lib/outbox";
import { showToast } from "../../lib/toast";
import { someoneElse } from "../../lib/person";
import { Transport } from "../../lib/transport";
import { holdButtons, viewButtons } from "./controls";
import { DetailsPanel } from "./details";
import { close, type Feed } from "./feed";
import { History } from "./history";
import { watchKeys } from "./keys";
import { Lanes } from "./lanes";
import { ANSWER_WORDS, LastPair, practiceWords } from "./last-pair";
import { watchPage } from "./lifecycle";
import { loadMe, PreferenceSaver } from "./me";
import { openOutboxDialog, refusalWords } from "./outbox-dialog";
import { makeFeed, makeOutbox } from "./plumbing";
import { LabelingServer } from "./server";
import { Session } from "./session";
import { Review } from "./review";
import { Settings } from "./settings";
import { ShownPair } from "./shown";
import { askSkip } from "./skip-dialog";
import { Stage, VIEWS, type StageView } from "./stage";
import { layOut, showStatus } from "./status";
import { emptyDetails, type AnswerName, type Assignment, type ChoiceResult, type Details, type Me, type Pair, type Side } from "./types";
import { PlayerView } from "./view";

export interface PlayerOptions {
  api: string;
  signInUrl: string;
  guideUrl: string;
  statsUrl: string;
  person: string;
}

interface Answered {
  id: string;
  pair: Pair;
  answer: AnswerName;
  result: ChoiceResult | null;
}
/** Ties the parts of the comparison page together. */
export class Player {
  private readonly server: LabelingServer;
  private readonly feed: Feed;
  private readonly outbox: Outbox;
  private readonly stage: Stage;
  private readonly view: PlayerView;
  private readonly lanes: Lanes;
  private readonly last: LastPair;
  private readonly transport: Transport;
  private readonly saver: PreferenceSaver;
  private readonly review: Review;
  private readonly history: History;
  private details: DetailsPanel | null = null;
  private me: Me | null = null;
  private settings: Settings | null = null;
  private session: Session | null = null;
  private shown: ShownPair | null = null;
  private answered: Answered | null = null;
  private undoing = false;
  private dialogOpen = false;
  private request = 0;
  private timers: ReturnType<typeof setInterval>[] = [];
  private leaseLost = false;
  private readonly ending = new AbortController();
  private readonly reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;

  constructor(
    private readonly root: HTMLElement,
    private readonly options: PlayerOptions,
  ) {
    this.server = new LabelingServer(options.api);
    this.saver = new PreferenceSaver(this.server, options.person);
    this.outbox = makeOutbox(this.server, options.person, {
      onSent: (entry, result) => this.sent(entry, result as ChoiceResult),
      onRefused: (entry) => this.refused(entry),
      onChange: () => this.status(),
    });
    this.history = new History(this.outbox, this.server);
    this.feed = makeFeed(this.server, this.outbox, options.person, {
      onBroken: (assignment, why) => this.put("skip", assignment, { lease: assignment.lease, reason: `The player could not show it: ${why}`.slice(0, 500), flag: true }),
      onChange: () => this.fed(),
    });
    this.stage = new Stage(this.reducedMotion);
    this.view = new PlayerView((name) => this.answer(name), (action) => this.act(action));
    this.transport = new Transport(new FrameClock({ frameCount: 1, fps: 1 }), () => this.transported());
    this.review = new Review(root, this.stage, this.transport, this.view, () => this.endReview());
    this.lanes = new Lanes(
      (frame) => this.seek(frame),
      (side, frame) => {
        this.shown?.marker.remove(side, frame);
        this.drawLanes();
      },
    );
    this.last = new LastPair(
      h("div", { class: "row row-s" }, h("button", { type: "button", class: "button button-small", onclick: () => this.act("review") }, "Look again ", this.view.kbd("review"))),
    );
  }

  async start(): Promise<void> {
    const filled = this.outbox.start().then(() => this.feed.fill()); // what waited here goes first: its leases are taken
    this.me = await loadMe(this.server, this.options.person);
    if (this.ending.signal.aborted) return;
    const { preferences, project, undoable } = this.me;
    this.session = new Session(project.break_after_minutes);
    this.history.load(undoable);
    this.details = new DetailsPanel(project);
    const kbd = (action: string): HTMLElement => this.view.kbd(action);
    const holds = holdButtons(kbd, (side) => this.hold(side), (side) => this.release(side));
    const views = viewButtons(kbd, (view) => this.setView(view), () => this.act("zoom"));
    layOut(this.root, this.view, this.stage, this.transport, this.lanes, this.details, this.last, views, holds);
    this.settings = new Settings(preferences, this.saver, this.view, this.details);
    this.view.outbox.addEventListener("click", () => openOutboxDialog(this.outbox));
    this.settings.show();
    this.listen(this.settings);
    this.fed();
    this.loop(performance.now());
    await filled;
  }

  stop(): void {
    this.ending.abort();
    cancelAnimationFrame(this.request);
    for (const timer of this.timers) clearInterval(timer);
    this.returnLeases();
    this.feed.stop();
    this.stage.stop();
  }

  // -- Showing ---------------------------------------------------------------------------------------------------------

  /** Something may have arrived: show it if there is nothing on the screen. */
  private fed(): void {
    if (!this.details) return;
    if (!this.shown && !this.review.clock && this.feed.hasNext) this.showNext();
    this.status();
  }

  private showNext(): void {
    const pair = this.feed.take();
    if (pair) this.show(pair, emptyDetails());
    else this.shown = null;
  }

  /** Draws frame 0 of a pair at once, and lets it run. Nothing in here may wait. */
  private show(pair: Pair, details: Details): void {
    const { assignment } = pair;
    const shown = new ShownPair(pair, details, this.me?.preferences ?? {});
    this.shown = shown;
    this.leaseLost = false;
    this.view.setEmpty(null);
    this.stage.overlay = false;
    this.stage.show(pair, null, 0);
    this.view.drawStart((context) => pair.left.draw(context, 0), assignment.width, assignment.height);
    if (this.view.prompt.textContent !== assignment.prompt) this.view.prompt.textContent = assignment.prompt;
    this.root.dataset["lease"] = assignment.lease;
    this.details?.set(details);
    this.lanes.setFrames(assignment.frame_count);
    this.drawLanes();
    this.transport.follow(shown.clock);
    if (!this.reducedMotion) shown.clock.play();
    shown.begin(document.visibilityState === "visible");
  }

  private loop(now: number): void {
    const clock = this.review.clock ?? this.shown?.clock;
    if (clock?.tick(now)) this.drawFrame();
    this.request = requestAnimationFrame((next) => this.loop(next));
  }

  private drawFrame(): void {
    const clock = this.review.clock ?? this.shown?.clock;
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

  private transported(): void {
    const clock = this.review.clock ?? this.shown?.clock;
    if (clock) this.settings?.played(clock.rate, clock.loop);
    this.drawFrame();
  }

  private seek(frame: number): void {
    const clock = this.review.clock ?? this.shown?.clock;
    clock?.pause();
    clock?.seek(frame);
    this.drawFrame();
  }

  // -- Answering -------------------------------------------------------------------------------------------------------

  private answer(name: AnswerName): void {
    const { shown } = this;
    if (this.review.clock) return this.endReview();
    if (!shown?.answerable || !this.details) return;
    shown.marker.releaseAll();
    const details: Details = { ...this.details.value, segments: shown.marker.segments };
    const client = { app: "dreamfork-player", view: this.stage.view, rate: shown.clock.rate, width: innerWidth, height: innerHeight, touch: matchMedia("(pointer: coarse)").matches };
    const body = shown.answer(name, details, client);
    const id = crypto.randomUUID();
    this.session?.active();
    const before = this.answered;
    this.answered = { id, pair: shown.pair, answer: name, result: null };
    this.history.push(id, shown.pair.assignment, details);
    this.moveOn();
    this.put("choice", shown.pair.assignment, body, id);
    if (this.me?.preferences.review_each) this.startReview();
    // The next pair is drawn and the answer on its way to the disk; the rest waits until that has been painted.
    afterPaint(() => {
      if (before) close(before.pair);
      if (this.answered?.id === id) this.last.show(this.answered.pair, name, this.answered.result);
      this.say(`${ANSWER_WORDS[name]}. ${this.shown ? `Next: ${this.shown.pair.assignment.prompt}` : ""}`);
    });
  }

  private moveOn(): void {
    this.shown = null;
    this.showNext();
    if (!this.shown) this.stage.show(null, null);
  }

  /** Gives the outbox something to tell the server. */
  private put(kind: "choice" | "skip", assignment: Assignment, body: Record<string, unknown>, id: string = crypto.randomUUID()): void {
    const entry: OutboxEntry = { id, kind, body, person: this.options.person, lease: assignment.lease, createdAt: Date.now(), attempts: 0 };
    this.outbox.add(entry).catch(() => showToast("bad", "This browser does not store your answers (private window or full disk). They are sent at once, but do not close the page while it says that some are waiting."));
  }

  private sent(entry: OutboxEntry, result: ChoiceResult): void {
    if (!this.shown) void this.feed.fill(); // the place that it held is free
    if (entry.kind !== "choice") return;
    if (this.me) {
      this.me.stats.today += 1;
      this.me.stats.total += 1;
    }
    if (this.answered?.id === entry.id) {
      this.answered.result = result;
      this.last.show(this.answered.pair, this.answered.answer, result);
      if (this.review.clock) this.stage.setReveal(result.reveal);
    }
    if (result.qualifying) showToast(result.qualifying.correct ? "good" : "warn", practiceWords(result.qualifying));
  }

  private refused(entry: OutboxEntry): void {
    this.history.forget(entry.id);
    if (this.answered?.id === entry.id) this.last.clear();
    showToast("bad", refusalWords(entry), { label: "Details", run: () => openOutboxDialog(this.outbox) });
  }

  private async skip(flag: boolean): Promise<void> {
    const { shown } = this;
    if (!shown || this.review.clock || this.dialogOpen) return;
    this.dialogOpen = true;
    shown.clock.pause();
    const answer = await askSkip(flag);
    this.dialogOpen = false;
    if (this.shown !== shown) return;
    if (!answer) {
      this.transport.update();
      return;
    }
    this.session?.active();
    this.moveOn();
    close(shown.pair);
    this.put("skip", shown.pair.assignment, { lease: shown.pair.assignment.lease, ...answer });
    this.say(flag ? "Reported and skipped." : "Skipped.");
  }

  /** Brings the last answered pair back: from the outbox if it did not leave yet, else from the server. */
  private async undo(): Promise<void> {
    if (this.undoing) return;
    const item = this.history.newest;
    if (!item) return this.say("There is nothing to undo.", true);
    this.undoing = true;
    try {
      if (this.review.clock) this.endReview();
      const assignment = await this.history.takeBack(item);
      const kept = this.answered?.id === item.id ? this.answered.pair : null;
      const pair = kept ? { ...kept, assignment } : await this.feed.load(assignment);
      if (kept) this.answered = null;
      this.last.clear();
      if (this.shown) this.feed.putBack(this.shown.pair);
      this.feed.hold(assignment.lease);
      this.show(pair, item.details);
      this.status();
      this.say("Undone. Answer this pair again.");
    } catch (error) {
      const lost = error instanceof ApiError && [404, 409].includes(error.status);
      if (lost) this.history.forget(item.id);
      showToast("bad", lost ? `This answer can not be taken back any more. ${(error as ApiError).detail}` : `Not undone: ${(error as Error).message}`);
    } finally {
      this.undoing = false;
    }
  }

  // -- Looking at the answered pair ------------------------------------------------------------------------------------

  private startReview(): void {
    if (!this.answered || this.review.clock) return;
    this.shown?.interrupt();
    this.review.open(this.answered.pair, this.answered.result?.reveal ?? null, this.me?.preferences.rate ?? 1, !this.reducedMotion);
    this.status();
    this.say("This is the pair that you answered, with the inferred paths.");
  }

  private endReview(): void {
    this.review.close();
    const { shown } = this;
    if (!shown) {
      this.stage.show(null, null);
      this.showNext();
    } else {
      this.view.prompt.textContent = shown.pair.assignment.prompt;
      this.stage.show(shown.pair, null, shown.clock.frame);
      this.transport.follow(shown.clock);
      if (!this.reducedMotion) shown.clock.play();
      shown.begin(document.visibilityState === "visible");
    }
    this.status();
  }

  // -- Keys and buttons ------------------------------------------------------------------------------------------------

  private act(action: string): void {
    switch (action) {
      case "left":
      case "right":
      case "tie":
      case "both_bad":
      case "cant_tell":
        return this.answer(action);
      case "undo":
        return void this.undo();
      case "skip":
      case "flag":
        return void this.skip(action === "flag");
      case "review":
        return this.review.clock ? this.endReview() : this.startReview();
      case "settings":
        this.shown?.clock.pause();
        return this.settings?.open();
      case "view":
        return this.setView(this.stage.nextView());
      case "zoom":
        return this.say(`Zoom ${this.stage.nextZoom()}×`);
      case "segment_left":
      case "segment_right":
        return this.hold(action === "segment_left" ? "left" : "right");
    }
    const said = this.details?.act(action) ?? null;
    if (said !== null) return this.say(said);
    const clock = this.review.clock ?? this.shown?.clock;
    if (!clock) return;
    runPlayback(clock, action);
    this.transported();
  }

  private hold(side: Side): void {
    if (!this.shown || this.review.clock) return;
    this.shown.marker.press(side, this.shown.clock.frame);
    this.drawLanes();
  }

  private release(side: Side): void {
    if (!this.shown) return;
    this.shown.marker.release(side);
    this.drawLanes();
    const count = this.shown.marker.segments.filter((one) => one.side === side).length;
    this.say(`${side}: ${count} ${count === 1 ? "stretch" : "stretches"} marked as worse`);
  }

  private setView(view: StageView): void {
    this.stage.setView(view);
    for (const button of this.root.querySelectorAll<HTMLElement>(".views [data-view]")) button.setAttribute("aria-pressed", String(button.dataset["view"] === view));
    this.say(VIEWS.find(({ id }) => id === view)?.label ?? "");
  }

  // -- Around it -------------------------------------------------------------------------------------------------------

  private listen(settings: Settings): void {
    const { signal } = this.ending;
    watchKeys({
      signal,
      keys: () => settings.keys,
      act: (action) => {
        this.touched();
        this.act(action);
      },
      hold: (side) => this.hold(side),
      release: (side) => this.release(side),
      escape: () => this.review.clock && this.endReview(),
    });
    watchPage({
      signal,
      wake: () => this.wake(),
      visible: (isVisible) => this.shown?.setVisible(isVisible),
      leave: () => this.returnLeases(),
      active: () => this.touched(),
      changed: () => this.status(),
      blurred: () => this.shown?.marker.releaseAll(),
    });
    document.addEventListener("dreamfork:shortcuts", () => settings.show(), { signal });
    const beat = Math.max(((this.me?.project.lease_seconds ?? 120) * 1000) / 3, 3000);
    this.timers.push(setInterval(() => void this.heartbeat(), beat));
    this.timers.push(setInterval(() => this.status(), 10_000));
  }

  private returnLeases(): void {
    this.server.returnLeases(this.feed.leases.filter((lease) => !this.outbox.holdsLease(lease)));
  }

  private wake(): void {
    void this.outbox.flush();
    void this.feed.fill();
    this.status();
  }

  /** After a while away, some of the leases may be someone else's: ask before one of them is answered. */
  private touched(): void {
    const away = (this.session?.idleMs ?? 0) > 90_000;
    this.session?.active();
    if (away) void this.heartbeat();
  }

  /** Somebody who went away lets the leases go. */
  private async heartbeat(): Promise<void> {
    if ((this.session?.idleMs ?? 0) > 5 * 60_000 || !navigator.onLine) return;
    this.leaseLost = !(await this.feed.heartbeat()) && this.shown !== null;
    this.status();
  }

  private status(): void {
    if (!this.me || !this.details) return;
    showStatus(this.view, {
      me: this.me,
      outbox: this.outbox,
      feed: this.feed,
      session: this.session,
      hasPair: this.shown !== null,
      reviewing: this.review.clock !== null,
      leaseLost: this.leaseLost,
      wrongPerson: someoneElse(this.options.person),
      options: this.options,
      retry: () => this.wake(),
      refresh: () => this.status(),
    });
  }

  private say(text: string, visibly = false): void {
    this.view.said.textContent = text;
    if (visibly) showToast("info", text);
  }
}
