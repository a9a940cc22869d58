import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mountJobProgress } from "../src/islands/job-progress";
import type { follow } from "../src/lib/events";

type Told = Parameters<typeof follow>[1];
const followed = vi.hoisted(() => ({ topic: "", told: null as unknown, stopped: 0 }));
vi.mock("../src/lib/events", () => ({
  follow: (topic: string, told: unknown) => {
    Object.assign(followed, { topic, told });
    return () => (followed.stopped += 1);
  },
}));

let root: HTMLElement;
const say = (data: Record<string, unknown>): void => (followed.told as Told).onEvent({ id: 1, kind: "progress", data, created_at: "" });

beforeEach(() => {
  document.body.innerHTML = "<ol id='toasts'></ol><div id='root'></div>";
  root = document.getElementById("root")!;
  followed.stopped = 0;
  followed.topic = "";
});
afterEach(() => vi.unstubAllGlobals());

describe("job-progress", () => {
  it("follows its job and says how far it is", () => {
    mountJobProgress(root, { job: "abc", state: "running", progress: 0.1, text: "1 of 10" });
    expect(followed.topic).toBe("job:abc");
    say({ state: "running", done: 4, total: 10, text: "4 of 10" });
    expect(root.textContent).toContain("4 of 10");
    expect(root.textContent).toContain("40%");
    expect(root.querySelector("progress")!.value).toBe(0.4);
  });

  it("tells the page how it ended, links the result, and stops following", () => {
    const ended = vi.fn();
    root.addEventListener("dreamfork:job", (event) => ended((event as CustomEvent).detail));
    mountJobProgress(root, { job: "abc", state: "running", done_url: "/result/" });
    say({ state: "succeeded" });
    expect(ended).toHaveBeenCalledWith({ state: "succeeded", error: "" });
    expect(root.querySelector("a")!.getAttribute("href")).toBe("/result/");
    expect(followed.stopped).toBe(1);
  });

  it("shows why it failed", () => {
    mountJobProgress(root, { job: "abc", state: "running", cancel_url: "/cancel/" });
    say({ state: "failed", error: "There are no approved start frames." });
    expect(root.textContent).toContain("There are no approved start frames.");
    expect(root.querySelector(".badge-failed")).not.toBeNull();
    expect(root.querySelector("button"), "nothing is left to cancel").toBeNull();
  });

  it("asks before it cancels", async () => {
    const fetched = vi.fn(async () => new Response("{}"));
    vi.stubGlobal("fetch", fetched);
    HTMLDialogElement.prototype.showModal ??= () => {};
    mountJobProgress(root, { job: "abc", state: "running", cancel_url: "/cancel/" });
    root.querySelector("button")!.click();
    expect(fetched).not.toHaveBeenCalled();
    const yes = [...document.querySelectorAll<HTMLButtonElement>("dialog button")].find((button) => button.textContent === "Cancel the job")!;
    yes.click();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(fetched.mock.calls.map((call) => (call as unknown[])[0])).toEqual(["/cancel/"]);
    expect(root.textContent).toContain("Cancelling");
  });

  it("does not follow a job that has ended", () => {
    mountJobProgress(root, { job: "abc", state: "succeeded" });
    expect(followed.topic).toBe("");
    expect(root.textContent).toContain("100%");
  });
});
