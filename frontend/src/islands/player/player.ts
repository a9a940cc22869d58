import { ApiError } from "../../lib/api";
import { refreshCsrf } from "../../lib/csrf";
import { FrameClock } from "../../lib/clock";
import { h } from "../../lib/dom";
import { setShortcuts, shortcutsOn } from "../../lib/help";
import { ACTIONS, keyLabel, KeyMap } from "../../lib/keymap";
import { Outbox, type OutboxEntry } from "../../lib/outbox";
import { IndexedDbStore } from "../../lib/outbox-store";
import { SegmentMarker } from "../../lib/segments";
import { Stopwatch } from "../../lib/stopwatch";
import { showToast } from "../../lib/toast";
import { Transport } from "../../lib/transport";
import { DetailsPanel } from "./details";
import { close, decodePair, Feed } from "./feed";
import { watchKeys } from "./keys";
import { openKeysDialog } from "./keys-dialog";
import { Lanes } from "./lanes";
import { ANSWER_WORDS, LastPair } from "./last-pair";
import { loadMe, PreferenceSaver } from "./me";
import { openOutboxDialog, refusalWords } from "./outbox-dialog";
import { LabelingServer } from "./server";
import { Session } from "./session";
import { askSkip } from "./skip-dialog";
import { Stage, VIEWS } from "./stage";
import { layOut, showStatus, type StatusInput } from "./status";
import { emptyDetails, type AnswerName, type Assignment, type ChoiceResult, type Details, type Me, type Pair, type Side } from "./types";
import { PlayerView } from "./view";

export interface PlayerOptions {
  api: string;
  signInUrl: string;
  guideUrl: string;
  statsUrl: string;
  person: string;
}

/** The pair on the screen, with everything that is measured and marked on it. */
interface Shown {
  pair: Pair;
  clock: FrameClock;
  marker: SegmentMarker;
  response: Stopwatch;
  visible: Stopwatch;
  at: number;
}
interface Answered {
  id: string;
  pair: Pair;
  answer: AnswerName;
  result: ChoiceResult | null;
}
interface HistoryItem {
  id: string;
  assignment: Assignment | null;
  details: Details;
}

const INTRO_MS = 450; // the start frame, which both sides share, stands this long before they part
const END_MS = 500;
const BOUNCE_MS = 150; // nobody judges a pair this fast: it is a key that bounced
const UNDO_LAST = 10;

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
  private details: DetailsPanel | null = null;
  private me: Me | null = null;
  private keys = new KeyMap();
  private session: Session | null = null;
  private shown: Shown | null = null;
  private answered: Answered | null = null;
  private reviewClock: FrameClock | null = null; // while the answered pair is looked at again
  private history: HistoryItem[] = [];
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
    this.outbox = new Outbox({
      person: options.person,
      store: new IndexedDbStore(),
      send: (entry) => this.server.send(entry),
      whoAmI: async () => (await refreshCsrf()).person,
      onSent: (entry, result) => this.sent(entry, result as ChoiceResult),
      onRefused: (entry) => this.refused(entry),
      onChange: () => this.status(),
      exclusive: oneTabAtATime,
    });
    this.feed = new Feed({
      next: (count) => this.server.next(count),
      heartbeat: (lease) => this.server.heartbeat(lease),
      fetchBlob: (url) => this.server.blob(url),
      decode: decodePair,
      isAnswered: (lease) => this.outbox.holdsLease(lease),
      onBroken: (assignment, why) => this.put("skip", assignment, { lease: assignment.lease, reason: `The player could not show it: ${why}`.slice(0, 500), flag: true }),
      onChange: () => this.fed(),
    });
    this.stage = new Stage(this.reducedMotion);
    this.view = new PlayerView((name) => this.answer(name), (action) => this.act(action));
    this.transport = new Transport(new FrameClock({ frameCount: 1, fps: 1 }), () => this.transported());
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
    this.keys = new KeyMap(preferences.keys);
    if (preferences.shortcuts === false) setShortcuts(false);
    this.session = new Session(project.break_after_minutes);
    this.history = [...undoable].reverse().map(({ choice }) => ({ id: choice, assignment: null, details: emptyDetails() }));
    this.details = new DetailsPanel(project);
    layOut(this.root, this.view, this.stage, this.transport, this.lanes, this.details, this.last, this.viewButtons(), this.holdButtons());
    this.view.outbox.addEventListener("click", () => openOutboxDialog(this.outbox));
    this.showKeys();
    this.listen();
    this.fed();
    this.loop(performance.now());
    await filled;
  }

  stop(): void {
    this.ending.abort();
    cancelAnimationFrame(this.request);
    for (const timer of this.timers) clearInterval(timer);
    this.server.returnLeases(this.feed.leases.filter((lease) => !this.outbox.holdsLease(lease)));
    this.feed.stop();
    this.stage.stop();
  }

  // -- Showing ---------------------------------------------------------------------------------------------------------

  /** Something may have arrived: show it if there is nothing on the screen. */
  private fed(): void {
    if (!this.details) return;
    if (!this.shown && !this.reviewClock && this.feed.hasNext) this.showNext();
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
    const { rate = 1, loop = true } = this.me?.preferences ?? {};
    const clock = new FrameClock({ frameCount: assignment.frame_count, fps: assignment.fps, rate, loop, introMs: INTRO_MS, endMs: END_MS });
    const marker = new SegmentMarker(assignment.frame_count);
    marker.set(details.segments);
    const shown: Shown = { pair, clock, marker, response: new Stopwatch(), visible: new Stopwatch(), at: performance.now() };
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
    this.transport.follow(clock);
    if (!this.reducedMotion) clock.play();
    shown.response.start();
    if (document.visibilityState === "visible") shown.visible.start();
  }

  private loop(now: number): void {
    const clock = this.reviewClock ?? this.shown?.clock;
    if (clock?.tick(now)) this.drawFrame();
    this.request = requestAnimationFrame((next) => this.loop(next));
  }

  private drawFrame(): void {
    const clock = this.reviewClock ?? this.shown?.clock;
    if (!clock) return;
    this.stage.draw(clock.frame);
    this.transport.update();
    if (this.reviewClock || !this.shown) return;
    this.shown.marker.moved(clock.frame);
    this.drawLanes();
  }

  private drawLanes(): void {
    if (this.shown) this.lanes.draw(this.shown.marker, this.shown.clock.frame);
  }

  private transported(): void {
    const { preferences } = this.me ?? {};
    const clock = this.reviewClock ?? this.shown?.clock;
    if (preferences && clock && ((preferences.rate ?? 1) !== clock.rate || (preferences.loop ?? true) !== clock.loop)) {
      preferences.rate = clock.rate;
      preferences.loop = clock.loop;
      this.saver.save(preferences);
    }
    this.drawFrame();
  }

  private seek(frame: number): void {
    const clock = this.reviewClock ?? this.shown?.clock;
    clock?.pause();
    clock?.seek(frame);
    this.drawFrame();
  }

  // -- Answering -------------------------------------------------------------------------------------------------------

  private answer(name: AnswerName): void {
    const { shown } = this;
    if (this.reviewClock) return this.endReview();
    if (!shown || !this.details || performance.now() - shown.at < BOUNCE_MS) return;
    shown.marker.releaseAll();
    const details: Details = { ...this.details.value, segments: shown.marker.segments };
    const body = {
      lease: shown.pair.assignment.lease,
      answer: name,
      strength: name === "left" || name === "right" ? details.strength : null,
      criteria: Object.keys(details.criteria).length > 0 ? details.criteria : null,
      success_left: details.success.left,
      success_right: details.success.right,
      segments: details.segments,
      rationale: details.rationale.trim(),
      response_ms: shown.response.ms,
      replays: shown.clock.replays,
      visible_ms: shown.visible.ms,
      client: { app: "dreamfork-player", view: this.stage.view, rate: shown.clock.rate, width: innerWidth, height: innerHeight, touch: matchMedia("(pointer: coarse)").matches },
    };
    const id = crypto.randomUUID();
    this.session?.active();
    const before = this.answered;
    this.answered = { id, pair: shown.pair, answer: name, result: null };
    this.history.push({ id, assignment: shown.pair.assignment, details });
    if (this.history.length > UNDO_LAST) this.history.shift();
    this.moveOn();
    // The next pair is on the screen; the rest may take its time.
    if (before) close(before.pair);
    this.last.show(this.answered.pair, name, null);
    this.put("choice", shown.pair.assignment, body, id);
    this.say(`${ANSWER_WORDS[name]}. ${this.shown ? `Next: ${this.shown.pair.assignment.prompt}` : ""}`);
    if (this.me?.preferences.review_each) this.startReview();
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
      if (this.reviewClock) this.stage.setReveal(result.reveal);
    }
    const feedback = result.qualifying;
    if (feedback) {
      const over = feedback.result === "passed" ? " That was the practice; from here on it counts." : feedback.result === "failed" ? " The practice is over and was not passed: please read the guide again, and ask an admin." : "";
      showToast(feedback.correct ? "good" : "warn", `Practice pair ${feedback.done} of ${feedback.of}: ${feedback.correct ? "as expected." : "we expected something else."} ${feedback.note}${over}`);
    }
  }

  private refused(entry: OutboxEntry): void {
    this.history = this.history.filter((item) => item.id !== entry.id);
    if (this.answered?.id === entry.id) this.last.clear();
    showToast("bad", refusalWords(entry), { label: "Details", run: () => openOutboxDialog(this.outbox) });
  }

  private async skip(flag: boolean): Promise<void> {
    const { shown } = this;
    if (!shown || this.reviewClock || this.dialogOpen) return;
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
    const item = this.history[this.history.length - 1];
    if (!item) return this.say("There is nothing to undo.", true);
    this.undoing = true;
    try {
      if (this.reviewClock) this.endReview();
      const assignment = (await this.unsend(item)) ?? (await this.server.undo(item.id)).assignment;
      this.history = this.history.filter((one) => one !== item);
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
      if (lost) this.history = this.history.filter((one) => one !== item);
      showToast("bad", lost ? `This answer can not be taken back any more. ${(error as ApiError).detail}` : `Not undone: ${(error as Error).message}`);
    } finally {
      this.undoing = false;
    }
  }

  private async unsend(item: HistoryItem): Promise<Assignment | null> {
    if (item.assignment && (await this.outbox.cancel(item.id))) return item.assignment;
    if (this.outbox.has(item.id)) await this.outbox.flush();
    if (this.outbox.has(item.id)) throw new Error("the answer is on its way; try again in a moment.");
    return null;
  }

  // -- Looking at the answered pair ------------------------------------------------------------------------------------

  private startReview(): void {
    if (!this.answered || this.reviewClock) return;
    const { pair, result } = this.answered;
    this.shown?.clock.pause();
    this.shown?.response.stop();
    this.shown?.visible.stop();
    this.reviewClock = new FrameClock({ frameCount: pair.assignment.frame_count, fps: pair.assignment.fps, rate: this.me?.preferences.rate ?? 1, endMs: END_MS });
    this.stage.overlay = true;
    this.stage.show(pair, result?.reveal ?? null, 0);
    this.transport.follow(this.reviewClock);
    if (!this.reducedMotion) this.reviewClock.play();
    this.root.classList.add("is-review");
    this.view.setEmpty(null);
    this.view.prompt.textContent = pair.assignment.prompt;
    this.status();
    this.say("This is the pair that you answered, with the inferred paths.");
  }

  private endReview(): void {
    this.reviewClock = null;
    this.stage.overlay = false;
    this.root.classList.remove("is-review");
    const { shown } = this;
    if (!shown) {
      this.stage.show(null, null);
      this.showNext();
    } else {
      this.view.prompt.textContent = shown.pair.assignment.prompt;
      this.stage.show(shown.pair, null, shown.clock.frame);
      this.transport.follow(shown.clock);
      if (!this.reducedMotion) shown.clock.play();
      shown.response.start();
      if (document.visibilityState === "visible") shown.visible.start();
    }
    this.status();
  }

  // -- Keys and buttons ------------------------------------------------------------------------------------------------

  private act(action: string): void {
    const clock = this.reviewClock ?? this.shown?.clock;
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
        return this.reviewClock ? this.endReview() : this.startReview();
      case "settings":
        return this.openSettings();
      case "view":
        this.stage.nextView();
        return this.markView();
      case "zoom":
        return this.say(`Zoom ${this.stage.nextZoom()}×`);
      case "criteria":
        return this.details?.focusCriteria();
      case "rationale":
        return this.details?.focusRationale();
      case "success_left":
      case "success_right": {
        const side = action === "success_left" ? "left" : "right";
        const value = this.details?.cycleSuccess(side);
        return this.say(`${side}: success ${value === true ? "yes" : value === false ? "no" : "not said"}`);
      }
      case "strength_1":
      case "strength_2":
      case "strength_3":
        return this.details?.toggleStrength(Number(action.slice(-1)));
      case "segment_left":
      case "segment_right":
        return this.hold(action === "segment_left" ? "left" : "right");
    }
    if (!clock) return;
    if (action === "play") clock.toggle();
    else if (action === "step_back") clock.step(-1);
    else if (action === "step_on") clock.step(1);
    else if (action === "restart") {
      clock.restart();
      clock.play();
    } else if (action === "slower") clock.slower();
    else if (action === "faster") clock.faster();
    else if (action === "loop") clock.loop = !clock.loop;
    this.transported();
  }

  private hold(side: Side): void {
    if (!this.shown || this.reviewClock) return;
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

  private holdButtons(): HTMLElement {
    const make = (side: Side, label: string): HTMLButtonElement => {
      const button = h("button", { type: "button", class: `button button-small hold hold-${side}`, title: "Hold while the clip plays; tap to mark the frame that is shown" }, h("span", {}, label), this.view.kbd(`segment_${side}`));
      button.addEventListener("pointerdown", (event) => {
        button.setPointerCapture(event.pointerId);
        this.hold(side);
      });
      for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => this.release(side));
      button.addEventListener("click", (event) => {
        if (event.detail > 0) return; // a pointer, handled above
        this.hold(side);
        this.release(side);
      });
      button.addEventListener("contextmenu", (event) => event.preventDefault());
      return button;
    };
    return h("div", { class: "holds row row-s" }, make("left", "Left is worse here"), make("right", "Right is worse here"));
  }

  private viewButtons(): HTMLElement {
    const group = h("div", { class: "button-group", role: "group", "aria-label": "View" });
    for (const { id, label } of VIEWS) {
      group.append(h("button", { type: "button", class: "button button-small", "data-view": id, "aria-pressed": String(id === "side"), onclick: () => { this.stage.setView(id); this.markView(); } }, label));
    }
    const zoom = h("button", { type: "button", class: "button button-small", onclick: () => this.act("zoom") }, "Zoom ", this.view.kbd("zoom"));
    return h("div", { class: "row row-s views" }, group, this.view.kbd("view"), zoom);
  }

  private markView(): void {
    for (const button of this.root.querySelectorAll<HTMLElement>(".views [data-view]")) button.setAttribute("aria-pressed", String(button.dataset["view"] === this.stage.view));
    this.say(VIEWS.find(({ id }) => id === this.stage.view)?.label ?? "");
  }

  private openSettings(): void {
    const preferences = this.me?.preferences;
    if (!preferences) return;
    this.shown?.clock.pause();
    openKeysDialog(this.keys, { reviewEach: preferences.review_each ?? false }, (change) => {
      if (change.keys) preferences.keys = change.keys.changes();
      if (change.reviewEach !== undefined) preferences.review_each = change.reviewEach;
      if (change.shortcuts !== undefined) preferences.shortcuts = change.shortcuts;
      this.saver.save(preferences);
      this.showKeys();
    });
  }

  private showKeys(): void {
    const on = shortcutsOn();
    this.view.showKeys(this.keys, on);
    this.details?.showKeys(this.keys, on);
    const extra = document.querySelector("[data-help-extra]");
    if (!extra) return;
    const groups = [...new Set(ACTIONS.map(({ group }) => group))];
    extra.className = "help-groups";
    extra.replaceChildren(
      ...groups.map((group) => {
        const list = h("dl");
        for (const { id, label } of ACTIONS.filter((action) => action.group === group)) list.append(h("dt", {}, this.keys.keyOf(id) ? h("kbd", {}, keyLabel(this.keys.keyOf(id))) : h("span", { class: "muted" }, "none")), h("dd", {}, label));
        return h("section", {}, h("h3", {}, group), list);
      }),
    );
  }

  // -- Around it -------------------------------------------------------------------------------------------------------

  private listen(): void {
    const { signal } = this.ending;
    watchKeys({
      signal,
      keys: () => this.keys,
      act: (action) => {
        this.session?.active();
        this.act(action);
      },
      hold: (side) => this.hold(side),
      release: (side) => this.release(side),
      escape: () => this.reviewClock && this.endReview(),
    });
    addEventListener("blur", () => this.shown?.marker.releaseAll(), { signal });
    addEventListener("pointerdown", () => this.session?.active(), { signal, passive: true });
    addEventListener("online", () => this.wake(), { signal });
    addEventListener("offline", () => this.status(), { signal });
    addEventListener("focus", () => this.wake(), { signal });
    document.addEventListener("dreamfork:shortcuts", () => this.showKeys(), { signal });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") {
        if (!this.reviewClock) this.shown?.visible.start();
        this.wake();
      } else this.shown?.visible.stop();
    }, { signal });
    addEventListener("pagehide", () => this.server.returnLeases(this.feed.leases.filter((lease) => !this.outbox.holdsLease(lease))), { signal });
    // Taken out of the back-forward cache: the leases were given back when it went in.
    addEventListener("pageshow", (event) => event.persisted && location.reload(), { signal });
    const beat = Math.max(((this.me?.project.lease_seconds ?? 120) * 1000) / 3, 3000);
    this.timers.push(setInterval(() => void this.heartbeat(), beat));
    this.timers.push(setInterval(() => this.status(), 10_000));
  }

  private wake(): void {
    void this.outbox.flush();
    void this.feed.fill();
    this.status();
  }

  /** Somebody who went away lets the leases go. */
  private async heartbeat(): Promise<void> {
    if ((this.session?.idleMs ?? 0) > 5 * 60_000 && !this.shown?.clock.playing) return;
    if ((this.session?.idleMs ?? 0) > 15 * 60_000 || !navigator.onLine) return;
    this.leaseLost = !(await this.feed.heartbeat()) && this.shown !== null;
    this.status();
  }

  private status(): void {
    if (!this.me || !this.details) return;
    const input: StatusInput = { me: this.me, outbox: this.outbox, feed: this.feed, session: this.session, hasPair: this.shown !== null, reviewing: this.reviewClock !== null, leaseLost: this.leaseLost, options: this.options, endReview: () => this.endReview(), retry: () => this.wake(), refresh: () => this.status() };
    showStatus(this.view, input);
  }

  private say(text: string, visibly = false): void {
    this.view.said.textContent = text;
    if (visibly) showToast("info", text);
  }
}

function oneTabAtATime<T>(run: () => Promise<T>): Promise<T> {
  return navigator.locks ? (navigator.locks.request("dreamfork-outbox", run) as Promise<T>) : run();
}
