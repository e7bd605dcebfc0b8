import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { machineAuthorities } from "./machine-authorities.ts";

const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString("base64")}\n-----END CERTIFICATE-----`;

test("machineAuthorities() reads what the variables name, each certificate once", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "authorities-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "bundle.pem");
  writeFileSync(file, `# a comment\n${pem("one")}\n\n${pem("two")}\n-----BEGIN PRIVATE KEY-----\nx\n`);
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  for (const directory of [first, second]) mkdirSync(directory);
  writeFileSync(join(first, "a.crt"), pem("two"));
  writeFileSync(join(second, "b.pem"), pem("three"));
  writeFileSync(join(second, "noise"), "no certificate");
  assert.deepEqual(machineAuthorities({ SSL_CERT_FILE: file }), [pem("one"), pem("two")]);
  const directory = `${first}:${second}:${join(folder, "none")}`;
  assert.deepEqual(machineAuthorities({ SSL_CERT_FILE: file, SSL_CERT_DIR: directory }), [
    pem("one"),
    pem("two"),
    pem("three"),
  ]);
});
