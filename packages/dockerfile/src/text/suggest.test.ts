import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { suggest } from "./suggest.ts";

/** The textbook's table, whatever it costs. */
function distance(a: string, b: string): number {
  const [from, to] = [Array.from(a), Array.from(b)];
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (const [i, char] of from.entries()) {
    const next = [i + 1];
    for (const [j, other] of to.entries()) {
      const replaced = (row[j] ?? 0) + (char === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

suite("suggest()", () => {
  test("finds the first of the nearest options, up to two edits away", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c", "é", "𝒳", "𝒴"), maxLength: 7 });
    fc.assert(
      fc.property(word, fc.array(word, { maxLength: 6 }), (value, options) => {
        const near = options.map((option) => distance(value, option));
        const best = Math.min(3, ...near);
        const expected = near.includes(0) || best > 2 ? undefined : options[near.indexOf(best)];
        assert.equal(suggest(value, options), expected === "" ? undefined : expected);
      }),
      { numRuns: 3000 },
    );
  });

  test("compares hundreds of names with thousands of others in a moment", () => {
    const options = Array.from({ length: 2000 }, (_, i) => `VARIABLE_NAME_${i}`);
    const started = process.cpuUsage();
    for (let i = 0; i < 300; i += 1) suggest(`VARIABLE_NAMX_${i}`, options);
    const { user, system } = process.cpuUsage(started);
    assert.ok((user + system) / 1000 < 3000);
  });
});
