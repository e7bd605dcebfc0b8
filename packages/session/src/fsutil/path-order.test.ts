import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { comparePaths, PathValidator } from "./path-order.ts";

const file = (path: string) => ({ path, isDirectory: false, hardLink: undefined });
const directory = (path: string) => ({ path, isDirectory: true, hardLink: undefined });

suite("comparePaths()", () => {
  test("orders as bytes do, with the slash first", () => {
    const name = fc.string({
      unit: fc.constantFrom("a", "B", "-", ".", "ä", "\uff5e", "\u{1f600}", "0"),
      minLength: 1,
    });
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const key = (value: string): Buffer => Buffer.from(value.replaceAll("/", "\u0000"));
    fc.assert(
      fc.property(path, path, (left, right) => {
        assert.equal(Math.sign(comparePaths(left, right)), Buffer.compare(key(left), key(right)));
      }),
    );
  });
});

suite("PathValidator", () => {
  test("check() accepts a tree in order", () => {
    const validator = new PathValidator();
    for (const entry of [directory("a"), file("a/x"), directory("a/y"), file("a/y/z"), file("a-b"), file("b")]) {
      validator.check(entry);
    }
    validator.check({ path: "c", isDirectory: false, hardLink: "a/y/z" });
  });

  for (const path of ["/etc/passwd", "..", "../x", "a/../b", "a//b", "./a", "", "a/", "a\0b", "x".repeat(5000)]) {
    test(`check() refuses ${JSON.stringify(path.slice(0, 20))}`, () => {
      const validator = new PathValidator();
      assert.throws(() => validator.check(file(path)), { code: "invalid_argument" });
    });
  }

  test("check() refuses what is out of order, twice there, in a file or in no directory", () => {
    for (const second of [file("a"), file("b"), file("b/c"), file("z/c")]) {
      const validator = new PathValidator();
      validator.check(file("b"));
      assert.throws(() => validator.check(second), { code: "invalid_argument" });
    }
  });

  test("check() refuses a hard link to what did not come before", () => {
    const validator = new PathValidator();
    assert.throws(() => validator.check({ path: "a", isDirectory: false, hardLink: "b" }), {
      code: "invalid_argument",
    });
  });
});
