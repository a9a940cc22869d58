import { api } from "./api";
import { csrfToken } from "./csrf";

/**
 * Posts JSON while the page is closing; nobody waits for the answer.
 *
 * Chromium drops a fetch of `pagehide`, keepalive or not, when a service worker controls the page, so the worker is asked to send it.
 */
export function postOnLeaving(url: string, body: unknown): void {
  const worker = "serviceWorker" in navigator ? navigator.serviceWorker.controller : null;
  if (worker) worker.postMessage({ post: url, body: JSON.stringify(body), csrf: csrfToken() });
  else api(url, { method: "POST", body, keepalive: true }).catch(() => {});
}
