import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { getSecret } from "../get-secret.ts";
import { openTestSession } from "../testing/open-test-session.ts";
import { maxSecretBytes, provideSecrets, type SecretSource } from "./secrets.ts";

const { signal } = new AbortController();
const folder = mkdtempSync(join(tmpdir(), "secrets-"));
after(() => rmSync(folder, { recursive: true }));

const fileOf = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

async function read(source: SecretSource, change = async (): Promise<void> => undefined): Promise<Buffer> {
  await using session = await openTestSession([provideSecrets([source])]);
  await change();
  return Buffer.from(await getSecret(session.caller, source.id, { signal }));
}

suite("provideSecrets()", () => {
  test("gives any bytes, up to the limit", async () => {
    const bytes = Buffer.alloc(maxSecretBytes, 0xfe);
    bytes[0] = 0;
    assert.ok((await read({ id: "file", filePath: fileOf("full", bytes) })).equals(bytes));
    assert.equal((await read({ id: "empty", filePath: fileOf("empty", "") })).length, 0);
  });

  test("gives variables, also those that are not set, as nothing", async () => {
    process.env["SECRETS_TEST"] = "of the environment";
    assert.equal(String(await read({ id: "any", env: "SECRETS_TEST" })), "of the environment");
    assert.equal(String(await read({ id: "SECRETS_TEST" })), "of the environment");
    assert.equal(String(await read({ id: "any", env: "SECRETS_TEST_UNSET" })), "");
  });

  test("gives what comes from a pipe", async () => {
    const filePath = join(folder, "pipe");
    execFileSync("mkfifo", [filePath]);
    const writing = open(filePath, "w").then(async (pipe) => {
      await pipe.write("of a pipe");
      await pipe.close();
    });
    assert.equal(String(await read({ id: "pipe", filePath })), "of a pipe");
    await writing;
  });

  test("refuses at once a file that is too large or missing, and one without an id", () => {
    const large = fileOf("large", "");
    truncateSync(large, maxSecretBytes + 1);
    const attempt = (source: SecretSource) => () => provideSecrets([source]);
    assert.throws(attempt({ id: "a", filePath: large }), { message: `secret ${large} too big. max size 500KB` });
    assert.throws(attempt({ id: "a", filePath: join(folder, "missing") }), { message: /no such file or directory/ });
    assert.throws(attempt({ id: "", filePath: large }), { message: "secret missing ID" });
  });

  test("refuses later one that has grown, or never ends", async () => {
    const filePath = fileOf("grown", "x");
    const grow = async (): Promise<void> => appendFileSync(filePath, Buffer.alloc(maxSecretBytes));
    const message = /invalid secret size: "s" has more than 512000 bytes/;
    await assert.rejects(read({ id: "s", filePath }, grow), { code: "invalid_argument", message });
    await assert.rejects(read({ id: "s", filePath: "/dev/zero" }), { message });
  });
});
