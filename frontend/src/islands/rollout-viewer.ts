import { FrameClock } from "../lib/clock";
import { h } from "../lib/dom";
import { isTyping, shortcutsOn } from "../lib/help";
import { checkLines, drawPath, type Verdict } from "../lib/path-overlay";
import { fitBacking, Sprite, WHOLE } from "../lib/sprite";
import { Transport } from "../lib/transport";

export interface ViewerRollout {
  id: number | string;
  label?: string;
  sprite_url: string;
  columns: number;
  frame_count: number;
  fps: number;
  width: number;
  height: number;
  path_pixels?: [number, number][] | null;
  verdict?: Verdict | null;
  value?: number | null;
  success?: number | null;
  url?: string;
}
interface ViewerProps {
  rollouts: ViewerRollout[];
  autoplay?: boolean;
  overlay?: boolean;
  selectable?: boolean;
  /** The id of a select whose values are frames; until its dialog opens, it follows what is shown. */
  moment?: string;
}

/** Plays one or several rollouts from one clock. Shorter ones stand on their last frame until the longest has ended. */
export function mountRolloutViewer(root: HTMLElement, props: ViewerProps): () => void {
  const rollouts = props.rollouts ?? [];
  root.classList.add("viewer");
  root.classList.toggle("viewer-single", rollouts.length === 1);
  if (rollouts.length === 0) {
    root.replaceChildren(h("p", { class: "muted" }, "There are no rollouts to show."));
    return () => {};
  }
  const clock = new FrameClock({
    frameCount: Math.max(...rollouts.map((one) => one.frame_count)),
    fps: rollouts[0]?.fps ?? 3,
    introMs: 300,
    endMs: 600,
  });
  let overlay = props.overlay ?? false;
  const picked = new Set<ViewerRollout["id"]>();
  const stop = new AbortController();

  const items = rollouts.map((rollout) => {
    const canvas = h("canvas", { role: "img", "aria-label": `Rollout ${rollout.label ?? rollout.id}` });
    const figure = h("figure", { class: "viewer-item" }, canvas, caption(rollout));
    const item = { rollout, canvas, figure, sprite: null as Sprite | null };
    if (props.selectable) {
      const box = h("input", { type: "checkbox", onchange: () => pick(item.rollout, box.checked) });
      figure.append(h("label", { class: "check small" }, box, "Select"));
    }
    const { sprite_url: url, columns, frame_count: frameCount, width, height } = rollout;
    Sprite.load({ url, columns, frameCount, width, height }, stop.signal).then(
      (sprite) => {
        if (stop.signal.aborted) return sprite.close();
        item.sprite = sprite;
        drawOne(item);
      },
      (error: Error) => {
        if (!stop.signal.aborted) figure.append(h("p", { class: "notice notice-bad small" }, error.message));
      },
    );
    return item;
  });

  const drawOne = (item: (typeof items)[number]): void => {
    const { canvas, sprite, rollout } = item;
    if (!sprite) return;
    fitBacking(canvas, rollout.width, rollout.height);
    const context = canvas.getContext("2d");
    if (!context) return;
    const frame = Math.min(clock.frame, rollout.frame_count - 1);
    sprite.draw(context, frame);
    canvas.dataset["frame"] = String(frame);
    if (overlay && rollout.path_pixels) drawPath(context, rollout.path_pixels, frame, WHOLE, rollout.verdict?.accepted === false);
  };
  const moment = props.moment ? document.getElementById(props.moment) : null;
  const draw = (): void => {
    for (const item of items) drawOne(item);
    if (moment instanceof HTMLSelectElement && !moment.closest("dialog")?.open) moment.value = String(Math.max(1, clock.frame));
    transport.update();
  };
  const pick = (rollout: ViewerRollout, on: boolean): void => {
    if (on) picked.add(rollout.id);
    else picked.delete(rollout.id);
    for (const item of items) item.figure.classList.toggle("is-picked", picked.has(item.rollout.id));
    root.dispatchEvent(new CustomEvent("dreamfork:pick", { bubbles: true, detail: { ids: [...picked] } }));
  };

  const transport = new Transport(clock, draw);
  const hasPaths = rollouts.some((one) => one.path_pixels?.length);
  const overlayButton = h("button", { class: "button button-small", type: "button", "aria-pressed": String(overlay), title: "Show the inferred path (o)", onclick: () => toggleOverlay() }, "Path");
  const toggleOverlay = (): void => {
    overlay = !overlay;
    overlayButton.setAttribute("aria-pressed", String(overlay));
    draw();
  };
  const controls = transport.element;
  if (hasPaths) controls.append(overlayButton);
  root.replaceChildren(h("div", { class: "viewer-stage" }, ...items.map((item) => item.figure)), controls);

  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || !shortcutsOn()) return;
    if (event.key === "o" && hasPaths) toggleOverlay();
    else if (!transport.key(event)) return;
    event.preventDefault();
    draw();
  };
  // Keys go to the viewer that holds the focus, or to the only one of the page.
  const alone = document.querySelectorAll('[data-island="rollout-viewer"]').length === 1;
  const keyTarget: HTMLElement | Document = alone ? document : root;
  if (!alone) root.tabIndex = 0;
  keyTarget.addEventListener("keydown", onKey as EventListener);

  let request = 0;
  const loop = (now: number): void => {
    if (clock.tick(now)) draw();
    request = requestAnimationFrame(loop);
  };
  request = requestAnimationFrame(loop);
  const resize = new ResizeObserver(() => draw());
  resize.observe(root);
  if (props.autoplay !== false && !matchMedia("(prefers-reduced-motion: reduce)").matches) clock.play();
  transport.update();

  return () => {
    stop.abort();
    cancelAnimationFrame(request);
    resize.disconnect();
    keyTarget.removeEventListener("keydown", onKey as EventListener);
    for (const item of items) item.sprite?.close();
  };
}

function caption(rollout: ViewerRollout): HTMLElement {
  const label = rollout.label ?? `Rollout ${rollout.id}`;
  const lines = checkLines(rollout.verdict).filter((line) => !line.ok);
  const facts = [
    typeof rollout.value === "number" ? `value ${rollout.value.toFixed(2)}` : "",
    typeof rollout.success === "number" ? `success ${(rollout.success * 100).toFixed(0)}%` : "",
  ].filter(Boolean);
  return h(
    "figcaption",
    {},
    rollout.url ? h("a", { href: rollout.url }, label) : h("span", {}, label),
    h("span", { class: "muted num" }, facts.join(", ")),
    rollout.verdict ? h("span", { class: `badge badge-${rollout.verdict.accepted ? "good" : "bad"}` }, rollout.verdict.accepted ? "kinematics kept" : "kinematics broken") : null,
    lines.length > 0 ? h("ul", { class: "viewer-checks" }, ...lines.map((line) => h("li", { class: "is-broken" }, line.text))) : null,
  );
}
