import assert from "node:assert/strict";
import { test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseModeChange } from "./mode-change.ts";

test("parseModeChange() changes modes as chmod(1) does", () => {
  const cases: readonly (readonly [text: string, before: number, after: number, isDirectory?: boolean])[] = [
    ["644", 0o777, 0o644],
    ["4755", 0o600, 0o4755],
    ["+x", 0o644, 0o755],
    ["u+x,g-w", 0o664, 0o744],
    ["a=rX", 0o600, 0o444],
    ["a=rX", 0o700, 0o555],
    ["a=rX", 0o600, 0o555, true],
    ["go=", 0o777, 0o700],
    ["g=u", 0o640, 0o660],
    ["o=g-w", 0o660, 0o664],
    ["u=rwx,go=rx", 0o000, 0o755],
    ["u+s", 0o755, 0o4755],
    ["+t", 0o755, 0o1755],
    ["o+t", 0o755, 0o755],
    ["a-x+X", 0o755, 0o755],
  ];
  for (const [text, before, after, isDirectory = false] of cases) {
    assert.equal(parseModeChange(text)(before, { isDirectory }).toString(8), after.toString(8), text);
  }
});

test("parseModeChange() refuses what is no mode", () => {
  for (const text of ["", "u", "u+z", "888", "77777", "u+x,", "x"]) {
    assert.throws(
      () => parseModeChange(text),
      (error) => error instanceof BuildError && error.message === "invalid syntax",
      text,
    );
  }
});
