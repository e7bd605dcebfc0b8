import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { suite, test } from "node:test";
import { walkTree } from "../fsutil/walk-tree.ts";
import { getSecret } from "../get-secret.ts";
import { SessionRegistryAuth } from "../registry-auth.ts";
import { sendBytes, sendFiles } from "../send-files.ts";
import { openTestSession } from "../testing/open-test-session.ts";
import { DockerConfig } from "./docker-config.ts";
import { takeOutputs } from "./file-send.ts";
import { provideRegistryAuth } from "./registry-auth.ts";
import { provideSecrets } from "./secrets.ts";

const { signal } = new AbortController();

function makeFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "attachables-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

suite("secrets of a client", () => {
  test("getSecret() gives files and variables, and not_found for others", async () => {
    using folder = makeFolder();
    writeFileSync(join(folder.path, "s"), "from file");
    process.env["ATTACHABLES_TEST"] = "from variable";
    const sources = [{ id: "file", filePath: join(folder.path, "s") }, { id: "ATTACHABLES_TEST" }];
    await using session = await openTestSession([provideSecrets(sources)]);
    const read = async (id: string): Promise<string> =>
      Buffer.from(await getSecret(session.caller, id, { signal })).toString();
    assert.equal(await read("file"), "from file");
    assert.equal(await read("ATTACHABLES_TEST"), "from variable");
    await assert.rejects(read("other"), { code: "not_found", message: "secret other: not found" });
  });

  test("getSecret() says not_found where a client serves none", async () => {
    await using session = await openTestSession([]);
    await assert.rejects(getSecret(session.caller, "x", { signal }), { code: "not_found" });
  });
});

suite("registry credentials of a client", () => {
  test("come from the Docker configuration, and token authorities prove them", async () => {
    using folder = makeFolder();
    const auth = Buffer.from("user:pass:word").toString("base64");
    const auths = { "https://index.docker.io/v1/": { auth }, "example.com": { identitytoken: "it" } };
    writeFileSync(join(folder.path, "config.json"), JSON.stringify({ auths }));
    const config = new DockerConfig({ directory: folder.path });
    const used: string[] = [];
    await using session = await openTestSession([provideRegistryAuth({ config, onUse: (name) => used.push(name) })]);
    const client = new SessionRegistryAuth(session.caller);
    const hub = await client.findCredentials("registry-1.docker.io", { signal });
    assert.deepEqual(hub, { username: "user", secret: "pass:word" });
    assert.deepEqual(await client.findCredentials("example.com", { signal }), { username: "", secret: "it" });
    assert.equal(await client.findCredentials("unknown.example", { signal }), undefined);
    assert.deepEqual(used, [
      "[auth] sharing credentials for registry-1.docker.io",
      "[auth] sharing credentials for example.com",
    ]);
    const key = await client.findTokenAuthority("example.com", { signal });
    assert.ok(key !== undefined);
    assert.equal(await client.verifyTokenAuthority("example.com", key, { signal }), true);
    assert.equal(await client.verifyTokenAuthority("registry-1.docker.io", key, { signal }), false);
  });
});

suite("outputs of a client", () => {
  test("sendBytes() writes a file, tells the response, and hears that it is declined", async () => {
    const sink = new PassThrough();
    const received: Buffer[] = [];
    sink.on("data", (chunk: Buffer) => received.push(chunk));
    let told: unknown;
    await using session = await openTestSession([
      takeOutputs(
        new Map([
          [
            0,
            {
              kind: "file" as const,
              open: async (response: unknown) => {
                told = response;
                return sink;
              },
            },
          ],
          [1, { kind: "file" as const, open: async () => undefined }],
        ]),
      ),
    ]);
    const content = async function* (): AsyncGenerator<Uint8Array, void> {
      for (let index = 0; index < 50; index += 1) yield Buffer.alloc(100_000, index);
    };
    const metadata = { "containerimage.digest": "sha256:00" };
    assert.equal(await sendBytes(session.caller, { exporterId: 0, metadata, content: content() }, { signal }), true);
    assert.equal(Buffer.concat(received).length, 5_000_000);
    assert.deepEqual(told, metadata);
    assert.equal(await sendBytes(session.caller, { exporterId: 1, content: content() }, { signal }), false);
    await assert.rejects(sendBytes(session.caller, { exporterId: 7, content: content() }, { signal }), {
      message: "exporter 7 not found",
    });
  });

  test("sendFiles() adds to a directory, or mirrors into it", async () => {
    using source = makeFolder();
    using target = makeFolder();
    writeFileSync(join(source.path, "new"), "new");
    writeFileSync(join(source.path, "both"), "from build");
    writeFileSync(join(target.path, "both"), "old");
    writeFileSync(join(target.path, "kept"), "kept");
    await using session = await openTestSession([
      takeOutputs(
        new Map([
          [0, { kind: "directory", path: target.path, mirror: false }],
          [1, { kind: "directory", path: target.path, mirror: true }],
        ]),
      ),
    ]);
    const send = async (exporterId: number, isComplete: boolean): Promise<void> =>
      await sendFiles(session.caller, { exporterId, isComplete, entries: walkTree(source.path) }, { signal });
    await send(0, false);
    assert.equal(readFileSync(join(target.path, "both"), "utf8"), "from build");
    assert.equal(readFileSync(join(target.path, "kept"), "utf8"), "kept");
    await assert.rejects(send(1, false), { message: /mode=delete requires/ });
    await send(1, true);
    assert.throws(() => readFileSync(join(target.path, "kept")));
    assert.equal(readFileSync(join(target.path, "new"), "utf8"), "new");
  });
});
