import { api, ApiError } from "./api";

export interface ServerEvent {
  id: number;
  kind: string;
  data: Record<string, unknown>;
  created_at: string;
}

export interface FollowOptions {
  after?: number;
  onEvent: (event: ServerEvent) => void;
  /** Told when the way to the server changes: `live` by socket, `polling` without one, `refused` when the topic is not for this person. */
  onState?: (state: "live" | "polling" | "refused") => void;
}

const POLL_MS = 3000;

/**
 * Follows a topic. The socket carries only "changed, up to N"; the events themselves are fetched after the last one seen, so a page
 * that lost its connection for a while misses none, and gets each once and in order. While there is no socket it polls.
 *
 * Returns a function that stops it.
 */
export function follow(topic: string, options: FollowOptions): () => void {
  let last = options.after ?? 0;
  let socket: WebSocket | null = null;
  let stopped = false;
  let fetching = false;
  let again = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const fetchMissed = async (): Promise<void> => {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      for (;;) {
        again = false;
        const page = await api<{ events: ServerEvent[]; last: number }>(`/api/v1/events/?topic=${encodeURIComponent(topic)}&after=${last}`);
        for (const event of page.events) {
          if (event.id <= last || stopped) continue;
          last = event.id;
          options.onEvent(event);
        }
        if (stopped || (page.events.length === 0 && !again) || (last >= page.last && !again)) break;
      }
    } catch (error) {
      if (error instanceof ApiError && [401, 403, 404].includes(error.status)) {
        options.onState?.("refused");
        stop();
      }
    } finally {
      fetching = false;
    }
  };

  const connect = (): void => {
    if (stopped) return;
    const address = new URL(`/ws/events/?topic=${encodeURIComponent(topic)}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      failures = 0;
      options.onState?.("live");
      void fetchMissed();
    });
    socket.addEventListener("message", (message) => {
      const ping = JSON.parse(String(message.data)) as { last?: number };
      if ((ping.last ?? Infinity) > last) void fetchMissed();
    });
    socket.addEventListener("close", () => {
      if (stopped) return;
      failures += 1;
      options.onState?.("polling");
      void fetchMissed();
      timer = setTimeout(connect, Math.min(POLL_MS * failures, 15_000));
    });
  };

  const onVisible = (): void => {
    if (document.visibilityState === "visible") void fetchMissed();
  };
  const stop = (): void => {
    stopped = true;
    clearTimeout(timer);
    clearInterval(poll);
    document.removeEventListener("visibilitychange", onVisible);
    socket?.close();
  };
  // Also beside a live socket: a ping may be lost when a channel is full.
  const poll = setInterval(() => {
    if (socket?.readyState !== WebSocket.OPEN || Math.random() < 0.2) void fetchMissed();
  }, POLL_MS);
  document.addEventListener("visibilitychange", onVisible);
  connect();
  return stop;
}
