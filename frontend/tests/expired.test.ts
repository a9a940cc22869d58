import { describe, expect, it, vi } from "vitest";
import { offerSignIn } from "../src/lib/expired";

describe("offerSignIn", () => {
  it("offers it once, opens another tab, and offers it again when the person has come back", () => {
    document.body.innerHTML = "<ol id='toasts'></ol>";
    const open = vi.fn();
    vi.stubGlobal("open", open);
    offerSignIn("/sign-in/?next=/jobs/");
    offerSignIn("/sign-in/?next=/jobs/");
    const toasts = document.querySelectorAll(".toast");
    expect(toasts).toHaveLength(1);
    toasts[0]!.querySelector("button")!.click();
    expect(open).toHaveBeenCalledWith("/sign-in/?next=/jobs/", "_blank", "noopener");
    dispatchEvent(new Event("focus"));
    offerSignIn("/sign-in/");
    expect(document.querySelectorAll(".toast")).toHaveLength(1);
    vi.unstubAllGlobals();
  });
});
