import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mountFrameGrid } from "../src/islands/frame-grid";

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));
let root: HTMLElement;
let unmount: () => void;
let sent: { ids: number[]; state: string; reason: string }[];
let status: number;

function frames(count: number) {
  return Array.from({ length: count }, (_, i) => ({ id: i + 1, image_url: `/media/${i}`, state: "proposed" as const, label: `frame ${i + 1}` }));
}
function key(name: string, options: KeyboardEventInit = {}): void {
  (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...options }));
}
const states = (): (string | undefined)[] => [...root.querySelectorAll<HTMLElement>(".review-cell")].map((cell) => cell.dataset["state"]);
const selected = (): number => root.querySelectorAll('.review-cell[aria-selected="true"]').length;

beforeEach(() => {
  document.body.innerHTML = "<ol id='toasts'></ol><div id='root'></div>";
  root = document.getElementById("root")!;
  sent = [];
  status = 200;
  vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
    sent.push(JSON.parse(String(init.body)));
    return new Response(status === 200 ? "{}" : JSON.stringify({ detail: "Only admins may do that." }), { status });
  });
  Element.prototype.scrollIntoView = () => {};
  unmount = mountFrameGrid(root, { review_url: "/review/", frames: frames(4), reasons: ["No dog in it", "Melted"] }) as () => void;
  root.querySelector<HTMLElement>(".review-cell")!.focus();
});
afterEach(() => {
  unmount();
  vi.unstubAllGlobals();
});

describe("frame-grid", () => {
  it("decides about one frame by one key and goes on to the next", async () => {
    key("a");
    key("r");
    key("f");
    await settled();
    expect(sent.map(({ ids, state }) => [ids, state])).toEqual([[[1], "approved"], [[2], "rejected"], [[3], "flagged"]]);
    expect(states()).toEqual(["approved", "rejected", "flagged", "proposed"]);
    expect(document.activeElement).toBe(root.querySelectorAll(".review-cell")[3]);
  });

  it("decides about many at once", async () => {
    key("End", { shiftKey: true });
    expect(selected()).toBe(4);
    key("a");
    await settled();
    expect(sent).toEqual([{ ids: [1, 2, 3, 4], state: "approved", reason: "" }]);
    expect(selected()).toBe(0);
  });

  it("selects from where the last decision left off, so that what was decided before stays as it is", async () => {
    key("a");
    key("r");
    key("ArrowRight", { shiftKey: true });
    key("f");
    await settled();
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2], [3, 4]]);
    expect(states()).toEqual(["approved", "rejected", "flagged", "flagged"]);
  });

  it("rejects with a usual reason by its digit, and sends the reason", async () => {
    key("2", { code: "Digit2" });
    await settled();
    expect(sent).toEqual([{ ids: [1], state: "rejected", reason: "Melted" }]);
  });

  it("puts the former state back when the server refuses", async () => {
    status = 403;
    key("a");
    expect(states()[0]).toBe("approved");
    await settled();
    expect(states()).toEqual(["proposed", "proposed", "proposed", "proposed"]);
    expect(document.getElementById("toasts")!.textContent).toContain("Only admins may do that.");
  });

  it("takes no letters typed into the reason for keys", async () => {
    root.querySelector<HTMLInputElement>("input[type=text]")!.focus();
    key("a");
    await settled();
    expect(sent).toEqual([]);
  });

  it("forgets the reason once a decision has it, so that the next frame does not get it too", async () => {
    const reason = root.querySelector<HTMLInputElement>("input[type=text]")!;
    reason.value = "Too dark";
    key("r");
    await settled();
    key("a");
    await settled();
    expect(sent.map((one) => [one.state, one.reason])).toEqual([["rejected", "Too dark"], ["approved", ""]]);
  });

  it("keeps the reason of a decision that was not saved", async () => {
    const reason = root.querySelector<HTMLInputElement>("input[type=text]")!;
    reason.value = "Too dark";
    status = 500;
    key("r");
    await settled();
    expect(reason.value).toBe("Too dark");
  });

  it("goes back to the frame on Enter in the reason, so that the deciding key can follow", async () => {
    key("ArrowRight");
    root.querySelector<HTMLInputElement>("input[type=text]")!.focus();
    key("Enter");
    expect(document.activeElement).toBe(root.querySelectorAll(".review-cell")[1]);
    await settled();
    expect(sent).toEqual([]);
  });

  it("calls a state as the rest of the pages do", () => {
    expect(root.querySelector(".badge")!.textContent).toBe("to review");
    expect(root.querySelector("[role=status]")!.textContent).toBe("4 to review, 0 approved, 0 rejected, 0 flagged");
  });

  it("asks for nothing when the state is already that", async () => {
    key("u");
    await settled();
    expect(sent).toEqual([]);
  });

  it("stops listening when it leaves the page", async () => {
    unmount();
    key("a");
    await settled();
    expect(sent).toEqual([]);
  });
});
