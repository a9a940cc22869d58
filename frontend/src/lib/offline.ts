import { PersonStore } from "./idb";

/**
 * What one person needs to go on comparing after a reload without a network: the comparison page with its scripts, styles and fonts (a
 * cache that public/label-worker.js reads), and the pairs that they hold (IndexedDB). Both belong to one person, and are deleted
 * when that person signs out or somebody else signs in. Answers are not in here: they stay in the outbox until the server has them.
 */
const PREFIX = "dreamfork-page-";

export interface KeptPair {
  lease: string;
  person: string;
  /** The page that holds it; its pairs are up for taking over once it is gone. */
  page: string;
  keptAt: number;
  /** As the server gave it. */
  assignment: unknown;
  left: Blob;
  right: Blob;
}

export const keptPairs = new PersonStore<KeptPair>("dreamfork-pairs", "pairs", "lease", "relaxed");

/** Registers the worker and puts the page and its parts into this person's cache. Does nothing where the browser has no workers (plain http). */
export async function keepPage(person: string, workerUrl: string): Promise<void> {
  if (!person || !workerUrl || !("serviceWorker" in navigator) || !("caches" in window)) return;
  await navigator.serviceWorker.register(workerUrl);
  const response = await fetch(location.pathname, { credentials: "same-origin", cache: "no-store", redirect: "error", headers: { Accept: "text/html" } });
  const text = await response.clone().text();
  const whose = new DOMParser().parseFromString(text, "text/html").querySelector<HTMLMetaElement>('meta[name="person"]')?.content;
  if (!response.ok || whose !== person) return;
  const parts = pageParts();
  const cache = await caches.open(PREFIX + person);
  await cache.addAll(parts);
  await cache.put(location.pathname, response);
  const wanted = new Set([...parts, location.pathname].map((url) => new URL(url, location.href).href));
  for (const old of await cache.keys()) if (!wanted.has(old.url)) await cache.delete(old);
}

/** The addresses on our own server that this document has loaded to look and work as it does. */
function pageParts(): string[] {
  const linked = [...document.querySelectorAll<HTMLElement>("script[src], link[rel=stylesheet], link[rel=icon]")].map((element) => (element as HTMLScriptElement).src || (element as HTMLLinkElement).href);
  const fonts = performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => /\.woff2(\?|$)/.test(name));
  return [...new Set([...linked, ...fonts])].filter((url) => new URL(url, location.href).origin === location.origin);
}

/** Deletes what was kept for anybody but `person`; with "" everything. */
export async function forgetKept(person: string): Promise<void> {
  if ("caches" in window) for (const name of await caches.keys()) if (name.startsWith(PREFIX) && (!person || name !== PREFIX + person)) await caches.delete(name);
  await keptPairs.deleteOthers(person);
}

/** On every page: nothing of somebody else stays, and signing out leaves nothing of oneself. */
export function startOffline(person: string): void {
  if (person) void forgetKept(person).catch(() => {});
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (!form.hasAttribute("data-sign-out")) return;
    event.preventDefault();
    const soon = new Promise((resolve) => setTimeout(resolve, 1500)); // signing out must not wait for a disk that does not answer
    void Promise.race([forgetKept("").catch(() => {}), soon]).then(() => form.submit());
  });
}
