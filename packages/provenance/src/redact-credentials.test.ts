import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { redactCredentials, redactCredentialsIn } from "./redact-credentials.ts";

for (const [text, expected] of [
  ["https://user:pass@example.invalid/repo.git", "https://xxxxx:xxxxx@example.invalid/repo.git"],
  ["https://token@example.invalid/repo.git#main:dir", "https://xxxxx@example.invalid/repo.git#main:dir"],
  ["https://:pass@example.invalid/", "https://:xxxxx@example.invalid/"],
  ["https://a:b@c:d@example.invalid", "https://xxxxx:xxxxx@example.invalid"],
  ["https://example.invalid/@scope/pkg", "https://example.invalid/@scope/pkg"],
  ["https://example.invalid:8080", "https://example.invalid:8080"],
  ["git@github.com:moby/buildkit.git", "git@github.com:moby/buildkit.git"],
  ["user:pass@not-a-url", "user:pass@not-a-url"],
] as const) {
  test(`redactCredentials() makes ${text} ${expected}`, () => assert.equal(redactCredentials(text), expected));
}

test("redactCredentials() lets no password through, whatever is in it", () => {
  const word = fc.string({ minLength: 12, maxLength: 20 }).filter((text) => !/[/?#@]/.test(text));
  fc.assert(
    fc.property(word, word, (user, password) => {
      const redacted = redactCredentials(`https://${user}:${password}@host.invalid/x`);
      assert.ok(!redacted.includes(password));
      assert.ok(redacted.endsWith("@host.invalid/x"));
    }),
  );
});

for (const [text, expected] of [
  ["ADD https://me:pass@a.invalid/x http://b.invalid /", "ADD https://xxxxx:xxxxx@a.invalid/x http://b.invalid /"],
  ['cannot get "http://token@a.invalid", twice', 'cannot get "http://xxxxx@a.invalid", twice'],
  ["git clone ssh://git@host/x ssh://git:pass@host/x", "git clone ssh://git@host/x ssh://xxxxx:xxxxx@host/x"],
  ["mail me@host.invalid about https://host.invalid/@scope", "mail me@host.invalid about https://host.invalid/@scope"],
] as const) {
  test(`redactCredentialsIn() makes ${text} ${expected}`, () => assert.equal(redactCredentialsIn(text), expected));
}
