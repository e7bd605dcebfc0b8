import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFilters } from "./parse-filters.ts";

const record: Readonly<Record<string, string>> = {
  id: "abc123",
  type: "regular",
  description: "mount / from exec /bin/sh -c a",
  mutable: "",
};
const lookup = (path: readonly string[]): { value: string; present: boolean } => ({
  value: record[path.join(".")] ?? "",
  present: Object.hasOwn(record, path.join(".")),
});

const cases: readonly (readonly [filters: readonly string[], selected: boolean])[] = [
  [[], true],
  [[""], true],
  [["type==regular"], true],
  [["type==internal"], false],
  [["type==internal", "mutable"], true],
  [["type==regular,immutable"], false],
  [["type==regular, mutable"], true],
  [["type!=regular"], false],
  [["absent!=x"], true],
  [["absent==x"], false],
  [['"type"=="regular"'], true],
  [["id~=^abc"], true],
  [["id~=/^[a-z]+\\d{3}$/"], true],
  [['description~="exec /bin/sh"'], true],
  [["description~=|from, exec|"], false],
  [["id~=(?i)ABC"], true],
];

for (const [filters, selected] of cases) {
  test(`${JSON.stringify(filters)} ${selected ? "selects" : "does not select"} the record`, () => {
    assert.equal(parseFilters(filters)(lookup), selected);
  });
}

test("text outside the grammar is rejected", () => {
  for (const text of ["==x", "id=x", "id==", "id==a b", "id,", ",", 'id=="x', "id~=(", "id.==x"])
    assert.throws(() => parseFilters([text]), { code: "invalid_argument" }, text);
});

test("a regular expression that backtracks for ever is stopped", () => {
  const filter = parseFilters(["id~=^(a+)+$"]);
  assert.throws(() => filter(() => ({ value: `${"a".repeat(60)}b`, present: true })), { code: "invalid_argument" });
});
