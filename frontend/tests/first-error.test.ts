import { describe, expect, it } from "vitest";
import { startFirstError } from "../src/lib/first-error";

describe("first error", () => {
  it("puts the keyboard into the first wrong field, opening what hides it", () => {
    document.body.innerHTML =
      "<form><input id='a'><details><summary>More</summary><input id='b' aria-invalid='true'></details><input id='c' aria-invalid='true'></form>";
    startFirstError();
    expect(document.activeElement?.id).toBe("b");
    expect(document.querySelector("details")!.open).toBe(true);
  });

  it("leaves a page without errors alone", () => {
    document.body.innerHTML = "<form><input id='a'></form>";
    startFirstError();
    expect(document.activeElement).toBe(document.body);
  });
});
