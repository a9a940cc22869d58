/**
 * The token that Django expects in `X-CSRFToken`. The cookie is preferred: after a new sign-in in another tab it is current,
 * while the page's own meta tag is not. With an HTTP-only cookie the meta tag is what there is.
 */
export function csrfToken(): string {
  const cookie = /(?:^|;\s*)(?:__Secure-|__Host-)?csrftoken=([^;]+)/.exec(document.cookie);
  if (cookie?.[1]) return decodeURIComponent(cookie[1]);
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

/** Takes a fresh token and the signed-in person's id from a newly fetched copy of this page. */
export async function refreshCsrf(): Promise<{ person: string }> {
  const response = await fetch(location.pathname, { credentials: "same-origin", headers: { Accept: "text/html" }, cache: "no-store" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content;
  const here = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]');
  if (fresh && here) here.content = fresh;
  return { person: page.querySelector<HTMLMetaElement>('meta[name="person"]')?.content ?? "" };
}

/** The id of the person this page was made for; empty when nobody is signed in. */
export function personOnPage(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="person"]')?.content ?? "";
}
