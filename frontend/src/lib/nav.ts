/** Marks the link of the rail whose address is the longest prefix of this page's. */
export function startNav(): void {
  for (const nav of document.querySelectorAll("[data-nav]")) {
    let best: HTMLAnchorElement | null = null;
    for (const link of nav.querySelectorAll<HTMLAnchorElement>("a[href]")) {
      const path = link.pathname;
      const fits = link.hasAttribute("data-exact") ? location.pathname === path : location.pathname.startsWith(path);
      if (fits && path.length > (best?.pathname.length ?? 1)) best = link;
    }
    best?.setAttribute("aria-current", "page");
  }
}
