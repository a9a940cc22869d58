export interface PageEvents {
  signal: AbortSignal;
  /** The person came back, or the network did. */
  wake: () => void;
  visible: (isVisible: boolean) => void;
  /** The page goes away; nothing asynchronous survives it. */
  leave: () => void;
  active: () => void;
  changed: () => void;
  blurred: () => void;
}

/** Watches what happens to the page as a whole: visibility, network, closing, coming back. */
export function watchPage(events: PageEvents): void {
  const { signal } = events;
  addEventListener("blur", events.blurred, { signal });
  addEventListener("pointerdown", events.active, { signal, passive: true });
  addEventListener("online", events.wake, { signal });
  addEventListener("focus", events.wake, { signal });
  addEventListener("storage", events.wake, { signal }); // another tab: someone signed in
  addEventListener("offline", events.changed, { signal });
  document.addEventListener("visibilitychange", () => {
    const isVisible = document.visibilityState === "visible";
    events.visible(isVisible);
    if (isVisible) events.wake();
  }, { signal });
  addEventListener("pagehide", events.leave, { signal });
  // Out of the back-forward cache: the leases were given back when the page went in.
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { signal });
}
