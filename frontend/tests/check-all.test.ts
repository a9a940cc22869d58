import { beforeEach, describe, expect, it } from "vitest";
import { mountCheckAll } from "../src/islands/check-all";

const box = (selector: string): HTMLInputElement => document.querySelector<HTMLInputElement>(selector)!;
const tick = (input: HTMLInputElement, checked: boolean): void => {
  input.checked = checked;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};

describe("check-all", () => {
  beforeEach(() => {
    document.body.innerHTML = `
      <form id="bulk"><input type="checkbox" data-all><button data-needs-some>Accept</button><span data-count></span></form>
      <input type="checkbox" id="a" form="bulk"><input type="checkbox" id="b" form="bulk"><input type="checkbox" id="other">`;
    mountCheckAll(document.querySelector<HTMLElement>("#bulk")!);
  });

  it("ticks the boxes of its form and no others", () => {
    tick(box("[data-all]"), true);
    expect([box("#a").checked, box("#b").checked, box("#other").checked]).toEqual([true, true, false]);
    expect(document.querySelector("[data-count]")!.textContent).toBe("2 ticked");
  });

  it("lets nobody decide about nothing, and shows that only some are ticked", () => {
    const button = document.querySelector("button")!;
    expect(button.disabled).toBe(true);
    tick(box("#a"), true);
    expect(button.disabled).toBe(false);
    expect([box("[data-all]").checked, box("[data-all]").indeterminate]).toEqual([false, true]);
    tick(box("#b"), true);
    expect([box("[data-all]").checked, box("[data-all]").indeterminate]).toEqual([true, false]);
    tick(box("[data-all]"), false);
    expect(button.disabled).toBe(true);
  });
});
