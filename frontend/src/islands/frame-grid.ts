import { api } from "../lib/api";
import { h } from "../lib/dom";
import { isTyping, shortcutsOn } from "../lib/help";
import { showToast } from "../lib/toast";

type State = "proposed" | "approved" | "rejected" | "flagged";
interface GridFrame {
  id: number | string;
  image_url: string;
  label?: string;
  state: State;
  url?: string;
  notes?: string[];
}
interface GridProps {
  review_url: string;
  frames: GridFrame[];
  /** Usual reasons, at most nine: the key 1 rejects with the first of them, Shift+1 flags. */
  reasons?: string[];
}
const KEYS: Record<string, State> = { a: "approved", r: "rejected", f: "flagged", u: "proposed" };
const VERBS: [State, string, string][] = [["approved", "Approve", "a"], ["rejected", "Reject", "r"], ["flagged", "Flag", "f"], ["proposed", "Back to review", "u"]];
/** As the pages call them. */
const WORDS: Record<State, string> = { proposed: "to review", approved: "approved", rejected: "rejected", flagged: "flagged" };

/** A grid of start frames that is reviewed by keyboard, one or many at a time. A failed save puts the former state back. */
export function mountFrameGrid(root: HTMLElement, props: GridProps): () => void {
  const frames = props.frames ?? [];
  const reasons = (props.reasons ?? []).slice(0, 9);
  let current = 0;
  let anchor = 0;
  const selected = new Set<number>();
  const counts = h("span", { class: "muted small", role: "status" });
  const reason = h("input", { type: "text", maxlength: 200, placeholder: "Reason, kept with the next decision", "aria-label": "Reason", autocomplete: "off" });
  const buttons = VERBS.map(([state, label, key]) => h("button", { class: "button button-small", type: "button", onclick: () => void decide(state) }, label, h("kbd", {}, key.toUpperCase())));
  const all = h("button", { class: "button button-small button-quiet", type: "button", onclick: () => selectAll() }, "Select all");
  const quick = reasons.map((text, index) =>
    h("button", { class: "button button-small button-quiet", type: "button", title: `Reject: ${text}`, onclick: () => void decide("rejected", text) }, h("kbd", {}, String(index + 1)), text),
  );
  const list = h("ul", { class: "review-grid", role: "listbox", "aria-multiselectable": "true", "aria-label": "Start frames" });
  const cells = frames.map((frame, index) => {
    const badge = h("span", { class: "badge" });
    const why = h("span", { class: "small muted", hidden: true }); // the reason of a decision made here; older ones are among the notes
    const cell = h(
      "li",
      { class: "review-cell", role: "option", tabindex: -1, "aria-selected": "false" },
      h("img", { src: frame.image_url, alt: frame.label ?? `Start frame ${frame.id}`, loading: "lazy", decoding: "async" }),
      h("span", { class: "caption" }, badge, h("span", { class: "muted truncate", title: frame.label ?? "" }, frame.label ?? String(frame.id))),
      ...(frame.notes ?? []).map((note) => h("span", { class: "small muted" }, note)),
      why,
    );
    cell.addEventListener("click", (event) => {
      if (event.shiftKey) extendTo(index);
      else if (event.ctrlKey || event.metaKey) toggle(index);
      else if (selected.has(index) && selected.size === 1) selected.clear();
      else {
        selected.clear();
        selected.add(index);
        anchor = index;
      }
      moveTo(index, false);
    });
    cell.addEventListener("dblclick", () => frame.url && location.assign(frame.url));
    return { cell, badge, why };
  });

  const draw = (): void => {
    frames.forEach((frame, index) => {
      const part = cells[index];
      if (!part) return;
      part.cell.dataset["state"] = frame.state;
      part.cell.setAttribute("aria-selected", String(selected.has(index)));
      part.cell.tabIndex = index === current ? 0 : -1;
      part.badge.className = `badge badge-${frame.state}`;
      part.badge.textContent = WORDS[frame.state];
    });
    const of = (state: State): number => frames.filter((frame) => frame.state === state).length;
    counts.textContent = `${selected.size ? `${selected.size} selected. ` : ""}${(Object.keys(WORDS) as State[]).map((state) => `${of(state)} ${WORDS[state]}`).join(", ")}`;
  };
  const moveTo = (index: number, focus = true): void => {
    current = Math.min(Math.max(index, 0), frames.length - 1);
    draw();
    if (!focus) return;
    cells[current]?.cell.focus();
    cells[current]?.cell.scrollIntoView({ block: "nearest" });
  };
  const toggle = (index: number): void => {
    if (!selected.delete(index)) selected.add(index);
    anchor = index;
  };
  const extendTo = (index: number): void => {
    selected.clear();
    for (let i = Math.min(anchor, index); i <= Math.max(anchor, index); i += 1) selected.add(i);
  };
  const selectAll = (): void => {
    if (selected.size === frames.length) selected.clear();
    else frames.forEach((_, index) => selected.add(index));
    draw();
  };
  const perRow = (): number => {
    const top = cells[0]?.cell.offsetTop;
    const count = cells.findIndex(({ cell }) => cell.offsetTop !== top);
    return count > 0 ? count : Math.max(cells.length, 1);
  };

  const decide = async (state: State, quickReason?: string): Promise<void> => {
    const indices = selected.size > 0 ? [...selected] : [current];
    const changed = indices.filter((index) => frames[index] && frames[index].state !== state);
    if (changed.length === 0) return;
    const before = new Map(changed.map((index) => [index, frames[index]!.state]));
    for (const index of changed) {
      frames[index]!.state = state;
      cells[index]?.cell.classList.add("is-saving");
    }
    // The next decision must not get this reason too.
    const typed = reason.value;
    if (quickReason === undefined) reason.value = "";
    const single = selected.size === 0;
    selected.clear();
    if (single && state !== "proposed") moveTo(current + 1, root.contains(document.activeElement));
    else draw();
    anchor = current; // Shift and arrows select from here on, not what was decided before
    try {
      const answer = await api<{ frames?: { id: number | string; state: State; reason?: string }[] } | null>(props.review_url, {
        method: "POST",
        body: { ids: changed.map((index) => frames[index]!.id), state, reason: quickReason ?? typed.trim() },
      });
      for (const saved of answer?.frames ?? []) {
        const index = frames.findIndex((one) => String(one.id) === String(saved.id));
        const frame = frames[index];
        const why = cells[index]?.why;
        if (!frame || !why) continue;
        frame.state = saved.state;
        why.textContent = saved.reason ?? "";
        why.hidden = !saved.reason;
      }
      if (changed.length > 1) showToast("good", `${changed.length} start frames ${state === "proposed" ? "are to be reviewed again" : state}.`);
      root.dispatchEvent(new CustomEvent("dreamfork:reviewed", { bubbles: true, detail: { count: changed.length, state } }));
    } catch (error) {
      for (const [index, old] of before) frames[index]!.state = old;
      if (reason.value === "") reason.value = typed;
      showToast("bad", `Not saved: ${(error as Error).message}`);
    } finally {
      for (const index of changed) cells[index]?.cell.classList.remove("is-saving");
      draw();
    }
  };

  reason.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    moveTo(current);
  });
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey && event.key === "a" && list.contains(event.target as Node)) {
      event.preventDefault();
      selectAll();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || !shortcutsOn()) return;
    const inGrid = list.contains(event.target as Node);
    const idle = event.target === document.body || (event.target as HTMLElement).id === "main";
    if (!inGrid && !idle) return;
    const moves: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow(), ArrowDown: perRow(), Home: -frames.length, End: frames.length };
    const move = moves[event.key];
    const state = KEYS[event.key.toLowerCase()];
    // The place of the key and not its character: Shift+1 is "!" on one keyboard and "+" on another.
    const usual = reasons[Number(/^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] ?? 0) - 1];
    if (move !== undefined) {
      const next = inGrid ? Math.min(Math.max(current + move, 0), frames.length - 1) : current;
      if (event.shiftKey) extendTo(next);
      moveTo(next);
      if (!event.shiftKey) anchor = current;
    } else if (event.key === " ") {
      toggle(current);
      draw();
    } else if (event.key === "Enter" && frames[current]?.url) location.assign(frames[current]!.url!);
    else if (event.key === "Escape") {
      selected.clear();
      draw();
    } else if (state) void decide(state);
    else if (usual !== undefined) void decide(event.shiftKey ? "flagged" : "rejected", usual);
    else return;
    event.preventDefault();
  };

  if (frames.length === 0) {
    root.replaceChildren(h("p", { class: "muted" }, "There are no start frames here."));
    return () => {};
  }
  list.append(...cells.map(({ cell }) => cell));
  root.replaceChildren(h("div", { class: "review-bar" }, h("div", { class: "row row-s" }, ...buttons, all), reason, counts, ...(quick.length > 0 ? [h("div", { class: "row row-s review-reasons", role: "group", "aria-label": "Reject with a usual reason" }, ...quick)] : [])), list);
  draw();
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
