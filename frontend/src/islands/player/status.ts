import { h } from "../../lib/dom";
import type { Outbox } from "../../lib/outbox";
import type { DetailsPanel } from "./details";
import type { Feed } from "./feed";
import type { LastPair } from "./last-pair";
import type { Playback } from "./playback";
import type { Session } from "./session";
import type { Me } from "./types";
import type { PlayerView } from "./view";

export interface StatusInput {
  me: Me;
  outbox: Outbox;
  feed: Feed;
  session: Session | null;
  hasPair: boolean;
  reviewing: boolean;
  leaseLost: boolean;
  wrongPerson: boolean;
  options: { signInUrl: string; guideUrl: string; statsUrl: string };
  retry: () => void;
  refresh: () => void;
}

/** Puts the parts of the page together. */
export function layOut(root: HTMLElement, view: PlayerView, playback: Playback, details: DetailsPanel, last: LastPair, views: HTMLElement, holds: HTMLElement): void {
  const head = h(
    "header",
    { class: "player-head" },
    view.start,
    h("div", { class: "player-question" }, view.prompt, view.ask),
    h("div", { class: "player-meta" }, view.counts, view.session, view.outbox),
  );
  view.work.append(
    h(
      "div",
      { class: "player-main" },
      head,
      playback.stage.element,
      h("div", { class: "player-under" }, playback.transport.element, playback.lanes.element, h("div", { class: "row spread" }, holds, views)),
      view.answers,
      view.moving,
    ),
    h("aside", { class: "player-aside", "aria-label": "About this pair and the one before" }, details.element, last.element),
  );
  root.classList.add("player");
  root.replaceChildren(view.said, view.banner, view.work, view.empty);
}

/** Says how things stand: counts, session, outbox, a banner if something needs a word, and a page of its own when there is no pair. */
export function showStatus(view: PlayerView, input: StatusInput): void {
  const { me, outbox, session } = input;
  const waiting = outbox.waiting.length;
  text(view.counts, `${me.stats.today} today${me.stats.pace_s ? ` · ${me.stats.pace_s.toFixed(1)} s a pair` : ""}`);
  text(view.session, session ? `${Math.floor(session.minutes)} min` : "");
  const refused = outbox.refused.length;
  const word = waiting > 0 ? `${waiting} to send` : refused > 0 ? `${refused} not taken` : "All saved";
  text(view.outbox, word);
  view.outbox.dataset["state"] = waiting > 0 ? (outbox.state === "ready" ? "sending" : "waiting") : refused > 0 ? "refused" : "ready";
  banner(view, input, waiting);
  empty(view, input, waiting);
}

function text(element: HTMLElement, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

function banner(view: PlayerView, input: StatusInput, waiting: number): void {
  const { outbox, feed, session, options } = input;
  const kept = waiting > 0 ? ` ${waiting === 1 ? "One answer is" : `${waiting} answers are`} kept in this browser until the server has ${waiting === 1 ? "it" : "them"}.` : "";
  const signIn = (): HTMLElement => h("a", { class: "button button-small button-primary", href: options.signInUrl, target: "_blank" }, "Sign in again");
  if (input.wrongPerson || outbox.state === "wrong_person") view.setBanner("bad", `Someone else is signed in here now.${kept} Sign in as yourself in another tab; nothing is sent in another name.`, signIn());
  else if (outbox.state === "signed_out" || feed.status === "signed_out") view.setBanner("warn", `Your session has expired.${kept} Sign in in another tab and come back here; nothing is lost.`, signIn());
  else if (!navigator.onLine || (waiting > 0 && outbox.state === "offline") || feed.status === "offline")
    view.setBanner("warn", `The server can not be reached.${kept} ${input.feed.size > 0 ? `You can go on: ${feed.size} more ${feed.size === 1 ? "pair is" : "pairs are"} here.` : ""}`);
  else if (waiting > 0 && outbox.state === "server") view.setBanner("warn", `The server has trouble taking answers.${kept}`);
  else if (input.leaseLost) view.setBanner("info", "Your time for this pair ran out while you were away. Answer it all the same: it counts if nobody else has taken it.");
  else if (session?.breakDue && input.hasPair)
    view.setBanner("info", `You have compared for ${Math.floor(session.minutes)} minutes. Eyes get tired before one notices: a few minutes away make better choices.`, h("button", { type: "button", class: "button button-small", onclick: () => { session.later(); input.refresh(); } }, "A little later"));
  else view.setBanner("", "");
}

function empty(view: PlayerView, input: StatusInput, waiting: number): void {
  const { feed, options } = input;
  if (input.hasPair || input.reviewing) return view.setEmpty(null);
  const link = (href: string, label: string): HTMLElement[] => (href ? [h("a", { class: "button", href }, label)] : []);
  const again = (): HTMLElement => h("button", { type: "button", class: "button", onclick: input.retry }, "Try now");
  const left = waiting > 0 ? ` ${waiting} of your answers ${waiting === 1 ? "is" : "are"} still on the way.` : "";
  switch (feed.status) {
    case "all_done":
      return view.setEmpty({ title: "All done", text: `You have answered every pair that needs you. New ones appear here by themselves when more rollouts are sampled.${left}`, actions: [again(), ...link(options.statsUrl, "My statistics")] });
    case "all_leased":
      return view.setEmpty({ title: "Others have the last pairs", text: `Every open pair is with someone else right now. One that is given back appears here by itself.${left}`, actions: [again(), ...link(options.statsUrl, "My statistics")] });
    case "nothing_sampled":
      return view.setEmpty({ title: "Nothing to compare yet", text: "A researcher has to sample rollouts first. Pairs appear here by themselves. Until then, the guide shows what to look for.", actions: [...link(options.guideUrl, "Read the guide"), again()] });
    case "offline":
      return view.setEmpty({ title: "No more pairs without the server", text: `You have answered everything that was fetched ahead.${left} It goes on by itself when the server is back.`, actions: [again()] });
    case "signed_out":
      return view.setEmpty({ title: "Sign in again", text: `Your session has expired.${left} Nothing is lost.`, actions: [h("a", { class: "button button-primary", href: options.signInUrl, target: "_blank" }, "Sign in"), again()] });
    case "refused":
      return view.setEmpty({ title: "The server gives you no pairs", text: feed.problem, actions: [...link(options.guideUrl, "Read the guide"), again()] });
    default:
      return view.setEmpty({ title: "Fetching the next pair", text: "Both rollouts are decoded before they are shown.", busy: true });
  }
}
