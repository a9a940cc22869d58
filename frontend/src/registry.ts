import { mountChart } from "./islands/chart";
import { mountCheckAll } from "./islands/check-all";
import { mountEvents } from "./islands/events";
import { mountFrameGrid } from "./islands/frame-grid";
import { mountJobProgress } from "./islands/job-progress";
import { mountPlayer } from "./islands/player";
import { mountRolloutViewer } from "./islands/rollout-viewer";
import { showToast } from "./lib/toast";

/** Mounts an island into `root`; what it returns, if anything, is called when the element leaves the page. */
export type Mount = (root: HTMLElement, props: never) => (() => void) | void;

const islands: Record<string, Mount> = {
  player: mountPlayer,
  chart: mountChart,
  "check-all": mountCheckAll,
  events: mountEvents,
  "job-progress": mountJobProgress,
  "frame-grid": mountFrameGrid,
  "rollout-viewer": mountRolloutViewer,
};

const mounted = new Map<HTMLElement, () => void>();

/** Mounts every `[data-island]` inside `scope` that is not mounted yet. Props are the JSON of `data-props`. */
export function mountIslands(scope: ParentNode): void {
  const found = [...scope.querySelectorAll<HTMLElement>("[data-island]")];
  if (scope instanceof HTMLElement && scope.dataset["island"]) found.unshift(scope);
  for (const element of found) {
    if (mounted.has(element)) continue;
    const name = element.dataset["island"] ?? "";
    const mount = islands[name];
    if (!mount) {
      console.error(`There is no island named "${name}".`);
      continue;
    }
    try {
      const props = JSON.parse(element.dataset["props"] || "{}") as never;
      mounted.set(element, mount(element, props) ?? (() => {}));
    } catch (error) {
      console.error(`The island "${name}" could not be mounted.`, error);
      showToast("bad", "A part of this page failed to load. Reload the page; if it stays, tell whoever runs this installation.");
    }
  }
  for (const [element, unmount] of mounted) {
    if (element.isConnected) continue;
    mounted.delete(element);
    unmount();
  }
}
