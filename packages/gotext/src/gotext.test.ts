import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatDuration,
  formatGoJson,
  formatTime,
  parseBool,
  parseDuration,
  quote,
  quoteList,
  sortKeys,
} from "./index.ts";

test("parseBool() reads what Go reads", () => {
  for (const text of ["1", "t", "T", "true", "TRUE", "True"]) assert.equal(parseBool(text), true);
  for (const text of ["0", "f", "F", "false", "FALSE", "False"]) assert.equal(parseBool(text), false);
  for (const text of ["", "yes", "tRUE", " true", "true\n"]) assert.equal(parseBool(text), undefined);
});

test("parseDuration() reads all of Go's units, signs and fractions", () => {
  const read = (text: string): number | undefined => parseDuration(text).nanoseconds;
  assert.equal(read("0"), 0);
  assert.equal(read("1h30m"), 5_400e9);
  assert.equal(read("-1.5s"), -1.5e9);
  assert.equal(read("+.5ms"), 500_000);
  assert.equal(read("3µs2us1ns"), 5_001);
});

test("parseDuration() says what is wrong in Go's words", () => {
  const problem = (text: string): string | undefined => parseDuration(text).problem;
  assert.equal(problem(""), 'time: invalid duration ""');
  assert.equal(problem("-"), 'time: invalid duration "-"');
  assert.equal(problem("soon"), 'time: invalid duration "soon"');
  assert.equal(problem("10"), 'time: missing unit in duration "10"');
  assert.equal(problem("1d"), 'time: unknown unit "d" in duration "1d"');
  assert.equal(problem("1constructor"), 'time: unknown unit "constructor" in duration "1constructor"');
  assert.equal(problem("9999999h"), 'time: invalid duration "9999999h"');
});

test("formatDuration() prints as Go does, and parseDuration() reads it", () => {
  const texts = ["0s", "1ns", "1.5µs", "20ms", "1.000000001s", "48h0m0s", "-1m30.5s"];
  for (const text of texts) {
    const { nanoseconds = Number.NaN } = parseDuration(text);
    assert.equal(formatDuration(nanoseconds), text);
    assert.equal(formatDuration(BigInt(nanoseconds)), text);
  }
});

test("quote() and quoteList() spell Go's %q", () => {
  assert.equal(quote('say "hi"\t\x07\x01\x7f'), String.raw`"say \"hi\"\t\a\x01\x7f"`);
  assert.equal(quote("é\u200b\u{10ffff}"), String.raw`"é\u200b\U0010ffff"`);
  assert.equal(quoteList(["a", "b c"]), '["a" "b c"]');
});

test("formatGoJson(), sortKeys() and formatTime() spell Go's JSON", () => {
  assert.equal(formatGoJson({ b: "<&>\u2028" }), String.raw`{"b":"\u003c\u0026\u003e\u2028"}`);
  // By bytes, a letter beyond the first plane comes after all of it; by UTF-16 units it would not.
  assert.deepEqual(Object.keys(sortKeys({ "\u{1f600}": 1, "\uffee": 2, a: 3 })), ["a", "\uffee", "\u{1f600}"]);
  assert.equal(formatTime(1_500), "1970-01-01T00:00:01.5Z");
  assert.equal(formatTime(20_000), "1970-01-01T00:00:20Z");
});
