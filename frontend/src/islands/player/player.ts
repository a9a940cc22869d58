import { ApiError } from "../../lib/api";
import { runPlayback } from "../../lib/clock";
import { afterPaint, h } from "../../lib/dom";
import type { Outbox, OutboxEntry } from "../../lib/outbox";
import { showToast } from "../../lib/toast";
import { keepPage } from "../../lib/offline";
import { someoneElse } from "../../lib/person";
import { uuid } from "../../lib/uuid";
import { holdButtons, viewButtons } from "./controls";
import { DetailsPanel } from "./details";
import { close, type Feed } from "./feed";
import { History } from "./history";
import { watchKeys } from "./keys";
import { Kept } from "./kept";
import { ANSWER_WORDS, LastPair, practiceWords } from "./last-pair";
import { watchPage } from "./lifecycle";
import { count, loadMe, PreferenceSaver } from "./me";
import { openOutboxDialog, refusalWords } from "./outbox-dialog";
import { Playback } from "./playback";
import { makeFeed, makeOutbox } from "./plumbing";
import { LabelingServer } from "./server";
import { Session } from "./session";
import { Settings } from "./settings";
import { ShownPair } from "./shown";
import { askSkip } from "./skip-dialog";
import { layOut, showStatus } from "./status";
import { emptyDetails, type AnswerName, type Assignment, type ChoiceResult, type Details, type Me, type Pair } from "./types";
import { PlayerView } from "./view";

export interface PlayerOptions {
  api: string;
  signInUrl: string;
  guideUrl: string;
  statsUrl: string;
  workerUrl: string;
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
  private readonly kept: Kept;
  private readonly view: PlayerView;
  private readonly playback: Playback;
  private readonly last: LastPair;
  private readonly saver: PreferenceSaver;
  private readonly history: History;
  private details: DetailsPanel | null = null;
  private me: Me | null = null;
  private settings: Settings | null = null;
  private session: Session | null = null;
  private answered: Answered | null = null;
  private undoing = false;
  private dialogOpen = false;
  private timers: ReturnType<typeof setInterval>[] = [];
  private leaseLost = false;
  private readonly ending = new AbortController();

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
    this.kept = new Kept(options.person);
    this.feed = makeFeed(this.server, this.outbox, this.kept, options.person, {
      onBroken: (assignment, why) => this.put("skip", assignment, { lease: assignment.lease, reason: `The player could not show it: ${why}`.slice(0, 500), flag: true }),
      onChange: () => this.fed(),
    });
    this.view = new PlayerView((name) => this.answer(name), (action) => this.act(action));
    this.playback = new Playback(root, this.view, {
      endReview: () => this.endReview(),
      played: (rate, loop) => this.settings?.played(rate, loop),
      say: (text) => this.say(text),
    });
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
    void this.saver.send(); // what an earlier page changed and could not save
    this.details = new DetailsPanel(project);
    const kbd = (action: string): HTMLElement => this.view.kbd(action);
    const { playback } = this;
    const holds = holdButtons(kbd, (side) => playback.hold(side), (side) => playback.release(side));
    const views = viewButtons(kbd, (view) => playback.setView(view), () => this.act("zoom"), () => this.act("paths"));
    layOut(this.root, this.view, playback, this.details, this.last, views, holds);
    this.last.greet(this.me, this.options.guideUrl);
    this.settings = new Settings(preferences, this.saver, this.view, this.details);
    this.view.outbox.addEventListener("click", () => openOutboxDialog(this.outbox));
    this.settings.show();
    this.listen(this.settings);
    this.fed();
    playback.start();
    await filled;
    await keepPage(this.options.person, this.options.workerUrl).catch(() => {}); // without a worker only a reload offline fails
  }

  stop(): void {
    this.ending.abort();
    this.playback.stop();
    for (const timer of this.timers) clearInterval(timer);
    this.returnLeases();
    this.feed.stop();
  }

  // -- Showing ---------------------------------------------------------------------------------------------------------

  /** Something may have arrived: show it if there is nothing on the screen. */
  private fed(): void {
    if (!this.details) return;
    if (!this.playback.shown && !this.playback.review.clock && this.feed.hasNext) this.showNext();
    this.status();
  }

  private showNext(): void {
    const pair = this.feed.take();
    if (pair) this.show(pair, emptyDetails());
    else this.playback.shown = null;
  }

  /** Draws frame 0 of a pair at once, and lets it run. Nothing in here may wait. */
  private show(pair: Pair, details: Details): void {
    const { assignment } = pair;
    const shown = new ShownPair(pair, details, this.me?.preferences ?? {});
    this.leaseLost = false;
    this.view.setEmpty(null);
    this.playback.show(shown);
    this.view.drawStart((context) => pair.left.draw(context, 0), assignment.width, assignment.height);
    if (this.view.prompt.textContent !== assignment.prompt) this.view.prompt.textContent = assignment.prompt;
    this.root.dataset["lease"] = assignment.lease;
    this.details?.set(details);
    shown.begin(document.visibilityState === "visible");
  }

  // -- Answering -------------------------------------------------------------------------------------------------------

  private answer(name: AnswerName): void {
    const { shown } = this.playback;
    if (this.playback.review.clock) return this.endReview();
    if (!shown?.answerable || !this.details) return;
    shown.marker.releaseAll();
    const details: Details = { ...this.details.value, segments: shown.marker.segments };
    const client = { app: "dreamfork-player", view: this.playback.stage.view, rate: shown.clock.rate, width: innerWidth, height: innerHeight, touch: matchMedia("(pointer: coarse)").matches };
    const body = shown.answer(name, details, client);
    const id = uuid();
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
      this.say(`${ANSWER_WORDS[name]}. ${this.playback.shown ? `Next: ${this.playback.shown.pair.assignment.prompt}` : ""}`);
    });
  }

  private moveOn(): void {
    this.playback.shown = null;
    this.showNext();
    if (!this.playback.shown) this.playback.resume(null);
  }

  /** Gives the outbox something to tell the server. */
  private put(kind: "choice" | "skip", assignment: Assignment, body: Record<string, unknown>, id: string = uuid()): void {
    const entry: OutboxEntry = { id, kind, body, person: this.options.person, lease: assignment.lease, createdAt: Date.now(), attempts: 0 };
    this.outbox.add(entry).catch(() => showToast("bad", "This browser does not store your answers (private window or full disk). They are sent at once, but do not close the page while it says that some are waiting."));
  }

  private sent(entry: OutboxEntry, result: ChoiceResult): void {
    this.kept.drop(entry.lease);
    if (!this.playback.shown) void this.feed.fill(); // the place that it held is free
    if (entry.kind !== "choice") return;
    this.history.sent(entry.id);
    count(this.me, 1);
    if (this.answered?.id === entry.id) {
      this.answered.result = result;
      this.last.show(this.answered.pair, this.answered.answer, result);
      if (this.playback.review.clock) this.playback.stage.setReveal(result.reveal);
    }
    if (result.qualifying) showToast(result.qualifying.correct ? "good" : "warn", practiceWords(result.qualifying), undefined, "practice");
  }

  private refused(entry: OutboxEntry): void {
    this.kept.drop(entry.lease);
    this.history.forget(entry.id);
    if (this.answered?.id === entry.id) this.last.clear();
    showToast("bad", refusalWords(entry), { label: "Details", run: () => openOutboxDialog(this.outbox) });
  }

  private async skip(flag: boolean): Promise<void> {
    const { shown } = this.playback;
    if (!shown || this.playback.review.clock || this.dialogOpen) return;
    this.dialogOpen = true;
    shown.clock.pause();
    const answer = await askSkip(flag);
    this.dialogOpen = false;
    if (this.playback.shown !== shown) return;
    if (!answer) {
      this.playback.transport.update();
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
      if (this.playback.review.clock) this.endReview();
      const { assignment, counted } = await this.history.takeBack(item);
      if (counted) count(this.me, -1, item.today);
      const kept = this.answered?.id === item.id ? this.answered.pair : null;
      const pair = kept ? { ...kept, assignment } : await this.feed.load(assignment);
      if (kept) this.answered = null;
      this.last.clear();
      if (this.playback.shown) this.feed.putBack(this.playback.shown.pair);
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
    if (!this.answered || this.playback.review.clock) return;
    this.playback.shown?.interrupt();
    this.playback.review.open(this.answered.pair, this.answered.result?.reveal ?? null, this.me?.preferences.rate ?? 1, !this.playback.reducedMotion);
    this.status();
    this.say("This is the pair that you answered, with the inferred paths.");
  }

  private endReview(): void {
    const { playback } = this;
    playback.review.close();
    playback.resume(playback.shown);
    if (playback.shown) {
      this.view.prompt.textContent = playback.shown.pair.assignment.prompt;
      playback.shown.begin(document.visibilityState === "visible");
    } else this.showNext();
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
        return this.playback.review.clock ? this.endReview() : this.startReview();
      case "settings":
        this.playback.shown?.clock.pause();
        return this.settings?.open();
      case "view":
        return this.playback.setView(this.playback.stage.nextView());
      case "zoom":
        return this.say(`Zoom ${this.playback.stage.nextZoom()}×`);
      case "paths":
        return this.playback.togglePaths();
      case "segment_left": case "segment_right":
        return this.playback.hold(action === "segment_left" ? "left" : "right");
    }
    const said = this.details?.act(action) ?? null;
    if (said !== null) return this.say(said);
    const clock = this.playback.review.clock ?? this.playback.shown?.clock;
    if (!clock) return;
    runPlayback(clock, action);
    this.playback.changed();
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
      hold: (side) => this.playback.hold(side),
      release: (side) => this.playback.release(side),
      escape: () => this.playback.review.clock && this.endReview(),
    });
    watchPage({
      signal,
      wake: () => this.wake(),
      visible: (isVisible) => this.playback.shown?.setVisible(isVisible),
      leave: () => this.returnLeases(),
      active: () => this.touched(),
      changed: () => this.status(),
      blurred: () => this.playback.shown?.marker.releaseAll(),
    });
    document.addEventListener("dreamfork:shortcuts", () => settings.show(), { signal });
    // Often enough that a lease has most of its time left whenever the network goes.
    const beat = Math.min(Math.max(((this.me?.project.lease_seconds ?? 120) * 1000) / 3, 3000), 40_000);
    this.timers.push(setInterval(() => void this.heartbeat(), beat));
    this.timers.push(setInterval(() => this.status(), 10_000));
  }

  private returnLeases(): void {
    this.server.returnLeases(this.feed.leases.filter((lease) => !this.outbox.holdsLease(lease)));
  }

  private wake(): void {
    void this.outbox.flush();
    void this.saver.send();
    void this.feed.fill();
    void this.heartbeat();
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
    this.leaseLost = !(await this.feed.heartbeat()) && this.playback.shown !== null;
    this.status();
  }

  private status(): void {
    if (!this.me || !this.details) return;
    showStatus(this.view, {
      me: this.me,
      outbox: this.outbox,
      feed: this.feed,
      session: this.session,
      hasPair: this.playback.shown !== null,
      reviewing: this.playback.review.clock !== null,
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
