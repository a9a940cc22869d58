import { h } from "../lib/dom";
import { follow, type ServerEvent } from "../lib/events";
import { throttled } from "../lib/throttle";

const REFRESH_MS = 1000;

interface EventsProps {
  topic: string;
  after?: number;
  log?: boolean;
}

/**
 * Passes the events of a topic on as DOM events, and lists them when `log` is set. `dreamfork:changed` is for what is fetched anew when
 * anything has happened: at most one a second, and one after the last event (htmx's own throttle drops that one).
 */
export function mountEvents(root: HTMLElement, props: EventsProps): () => void {
  const list = props.log ? h("ol", { class: "event-log", "aria-label": "Events", tabindex: 0 }) : null;
  if (list) root.replaceChildren(list);
  const changed = throttled(() => root.dispatchEvent(new CustomEvent("dreamfork:changed", { bubbles: true })), REFRESH_MS);
  return follow(props.topic, {
    after: props.after ?? 0,
    onEvent: (event) => {
      root.dispatchEvent(new CustomEvent("dreamfork:event", { bubbles: true, detail: event }));
      root.dispatchEvent(new CustomEvent(`dreamfork:event:${event.kind}`, { bubbles: true, detail: event }));
      if (list) addLine(list, event);
      changed();
    },
  });
}

function addLine(list: HTMLElement, event: ServerEvent): void {
  const atBottom = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
  const text = typeof event.data["text"] === "string" ? event.data["text"] : summary(event.data);
  list.append(h("li", {}, h("time", { datetime: event.created_at }, new Date(event.created_at).toLocaleTimeString()), h("span", { class: "mono" }, event.kind), h("span", {}, text)));
  while (list.children.length > 500) list.firstElementChild?.remove();
  if (atBottom) list.scrollTop = list.scrollHeight;
}

function summary(data: Record<string, unknown>): string {
  return Object.entries(data)
    .map(([key, value]) => `${key} ${typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(4) : typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
}
