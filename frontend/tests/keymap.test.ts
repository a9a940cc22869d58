import { describe, expect, it } from "vitest";
import { ACTIONS, KeyMap, keyLabel } from "../src/lib/keymap";

describe("KeyMap", () => {
  it("gives every action a key of its own by default", () => {
    const keys = new KeyMap();
    const bound = ACTIONS.map(({ id }) => keys.keyOf(id));
    expect(new Set(bound).size).toBe(ACTIONS.length);
    expect(bound).not.toContain("");
    expect(keys.actionOf("f")).toBe("left");
    expect(keys.changes()).toEqual({});
  });

  it("takes a key from the action that had it", () => {
    const keys = new KeyMap();
    expect(keys.bind("left", "j")).toBe("right");
    expect(keys.actionOf("j")).toBe("left");
    expect(keys.keyOf("right")).toBe("");
    expect(keys.actionOf("f")).toBeUndefined();
    expect(new KeyMap(keys.changes()).changes()).toEqual({ left: "j", right: "" });
  });

  it("refuses keys that the page or the browser needs", () => {
    const keys = new KeyMap();
    for (const key of ["Tab", "Enter", "Escape", "?", "/", "F5"]) expect(() => keys.bind("left", key)).toThrow(RangeError);
    expect(keys.keyOf("left")).toBe("f");
  });

  it("survives what is stored wrongly", () => {
    const keys = new KeyMap({ left: "j", right: "j", tie: 7, both_bad: "Enter", nonsense: "y" });
    expect(keys.keyOf("left")).toBe("j");
    expect(keys.keyOf("right")).toBe("");
    expect(keys.keyOf("tie")).toBe("t");
    expect(keys.keyOf("both_bad")).toBe("b");
  });

  it("does not tell capitals apart", () => {
    const keys = new KeyMap({ left: "A" });
    expect(keys.actionOf("a")).toBe("left");
  });

  it("prints keys as they look", () => {
    expect([" ", "f", "arrowleft", "home"].map(keyLabel)).toEqual(["Space", "F", "←", "Home"]);
  });
});
