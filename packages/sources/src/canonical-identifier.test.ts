import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalIdentifier } from "./canonical-identifier.ts";

const spellings: readonly (readonly [string, string, Readonly<Record<string, string>>?])[] = [
  ["docker-image://alpine", "docker-image://docker.io/library/alpine:latest"],
  ["docker-image://docker.io/library/alpine:3", "docker-image://docker.io/library/alpine:3"],
  ["git://github.com/user/repo.git#main:../absolute/path", "git://github.com/user/repo.git#main:absolute/path"],
  ["git://github.com/user/../user/repo.git", "git://github.com/user/repo.git"],
  [
    "git://example.com/x#v1",
    "git://host.invalid/repo.git#v1",
    { "git.fullurl": "https://me:secret@host.invalid/repo.git" },
  ],
  ["git://example.com/x", "git://github.com/user/repo.git", { "git.fullurl": "git@github.com:user/repo.git" }],
  ["https://example.com/../a?b", "https://example.com/../a?b"],
  ["docker-image://%%%", "docker-image://%%%"],
];

for (const [given, expected, attributes = {}] of spellings) {
  test(`canonicalIdentifier() spells ${given} as ${expected}`, () => {
    assert.equal(canonicalIdentifier(given, attributes), expected);
  });
}
