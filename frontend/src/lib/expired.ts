import { showToast } from "./toast";

let offered = false;

/** Offers to sign in in another tab, once for each time that the session expires: a list that refreshes itself would say it every few seconds. */
export function offerSignIn(signInUrl: string): void {
  if (offered) return;
  offered = true;
  showToast("bad", "Your session has expired. Sign in in another tab and come back: this page stays as it is, with what you have typed.", {
    label: "Sign in",
    run: () => void window.open(signInUrl, "_blank", "noopener"),
  });
  addEventListener("focus", () => (offered = false), { once: true });
}
