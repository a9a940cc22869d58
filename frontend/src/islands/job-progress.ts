import { api } from "../lib/api";
import { confirmDialog } from "../lib/dialogs";
import { h } from "../lib/dom";
import { follow } from "../lib/events";
import { showToast } from "../lib/toast";

interface JobProgressProps {
  job: string;
  state?: string;
  progress?: number;
  text?: string;
  reload?: boolean;
  cancel_url?: string;
  done_url?: string;
  after?: number;
}

const FINISHED = new Set(["succeeded", "failed", "cancelled"]);

/** Shows how far a job is, live, until it has ended. */
export function mountJobProgress(root: HTMLElement, props: JobProgressProps): () => void {
  let state = props.state ?? "queued";
  const badge = h("span", { class: "badge" });
  const text = h("span", { class: "grow" });
  const percent = h("span", { class: "num" });
  const bar = h("progress", { max: 1, "aria-label": "Progress of the job" });
  const actions = h("div", { class: "row row-s" });
  root.classList.add("job");
  root.replaceChildren(h("div", { class: "progress" }, h("div", { class: "progress-text" }, badge, text, percent), bar), actions);

  const draw = (progress: number | undefined, line: string | undefined): void => {
    badge.className = `badge badge-${state}`;
    badge.textContent = state;
    if (line !== undefined) text.textContent = line;
    if (state === "succeeded") progress = 1;
    if (progress !== undefined && (progress > 0 || state !== "running")) {
      bar.value = Math.min(Math.max(progress, 0), 1);
      percent.textContent = `${Math.floor(bar.value * 100)}%`;
    } else if (state === "running" && bar.position < 0) percent.textContent = "";
    actions.replaceChildren();
    if (!FINISHED.has(state) && props.cancel_url) actions.append(h("button", { class: "button button-small", type: "button", onclick: cancel }, "Cancel the job"));
    if (state === "succeeded" && props.done_url) actions.append(h("a", { class: "button button-small button-primary", href: props.done_url }, "Show the result"));
  };
  const cancel = (): void => {
    void confirmDialog("Cancel this job? What it has finished so far is kept.", "Cancel the job").then(async (yes) => {
      if (!yes || !props.cancel_url) return;
      try {
        await api(props.cancel_url, { method: "POST", body: {} });
        text.textContent = "Cancelling…";
      } catch (error) {
        showToast("bad", `The job could not be cancelled. ${(error as Error).message}`);
      }
    });
  };

  draw(props.progress, props.text);
  if (FINISHED.has(state)) return () => {};
  const stop = follow(`job:${props.job}`, {
    after: props.after ?? 0,
    onEvent: (event) => {
      const { data } = event;
      const total = Number(data["total"]);
      const progress = typeof data["progress"] === "number" ? data["progress"] : total > 0 ? Number(data["done"]) / total : undefined;
      if (typeof data["state"] === "string") state = data["state"];
      draw(progress, typeof data["text"] === "string" ? data["text"] : typeof data["error"] === "string" && data["error"] ? data["error"] : undefined);
      if (!FINISHED.has(state)) return;
      stop();
      root.dispatchEvent(new CustomEvent("dreamfork:job", { bubbles: true, detail: { state, error: data["error"] ?? "" } }));
      if (props.reload) setTimeout(() => location.reload(), 600);
    },
  });
  return stop;
}
