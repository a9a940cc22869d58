// Brings the comparison page up when the server can not be reached, so that a reload without a network does not end in the
// browser's error page. The page itself puts into the cache what it needs (src/islands/player/offline.ts), one cache for the one
// person who compares in this browser; this worker only reads it, and only when the network has failed. It answers nothing but GET requests
// for the comparison page and for the scripts, styles and fonts of the pages under its scope. Media and the API go past it, but for
// what a closing page leaves it to post (src/lib/farewell.ts).

const PREFIX = "dreamfork-page-";
const PAGE = new URL(self.registration.scope).pathname;
const PARTS = ["script", "style", "font", "image"];
const PATIENCE_MS = 6000; // a network that is there in name only
const DOWN = [502, 503, 504]; // a proxy whose server is being restarted

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  const isPage = request.mode === "navigate" && url.pathname === PAGE;
  const isPart = PARTS.includes(request.destination) && !url.pathname.startsWith("/media/");
  if (isPage || isPart) event.respondWith(networkElseKept(request));
});

self.addEventListener("message", (event) => {
  const { post, body, csrf } = event.data ?? {};
  if (typeof post !== "string" || new URL(post, self.location.href).origin !== self.location.origin) return;
  const headers = { "Content-Type": "application/json", "X-CSRFToken": csrf };
  event.waitUntil(fetch(post, { method: "POST", headers, body, credentials: "same-origin", redirect: "manual" }).catch(() => {}));
});

async function networkElseKept(request) {
  const network = fetch(request);
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const answer = await Promise.race([network, late]).catch(() => undefined);
  if (answer && !DOWN.includes(answer.status)) return answer;
  // Without anything kept the network's own answer stands, however late and whatever it is.
  return (await kept(request)) ?? answer ?? network;
}

async function kept(request) {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  for (const name of names) {
    const found = await (await caches.open(name)).match(request, { ignoreSearch: true, ignoreVary: true });
    if (found) return found;
  }
  return undefined;
}
