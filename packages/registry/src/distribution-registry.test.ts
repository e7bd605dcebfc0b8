import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf, mediaTypes, parseReference } from "@buildkit-ts/oci";
import { RegistryClient } from "./registry-client.ts";
import { big, callOptions, collect, streamedBlob } from "./testing/client-under-test.ts";

const options = callOptions;

const program = ["/usr/bin/docker-registry", "/usr/local/bin/registry"].find((path) => {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
});

test("a registry of the distribution project takes and gives images", {
  skip: program === undefined && "no docker-registry",
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "registry-"));
  const port = await freePort();
  const config = `version: 0.1\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  writeFileSync(join(directory, "config.yaml"), config);
  const child = spawn(program ?? "", ["serve", join(directory, "config.yaml")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  const client = new RegistryClient();
  t.after(async () => {
    await client[Symbol.asyncDispose]();
    child.kill();
    await exited;
    rmSync(directory, { recursive: true });
  });
  await new Promise<void>((resolve) => {
    child.stderr.on("data", (line: Buffer) => line.includes("listening on") && resolve());
  });
  const reference = parseReference(`127.0.0.1:${port}/team/app:v1`);
  const layer = streamedBlob(big);
  assert.equal(await client.pushBlob(reference, layer, options), "uploaded");
  const other = parseReference(`127.0.0.1:${port}/other:v1`);
  assert.equal(await client.pushBlob(other, { ...layer, mountFrom: ["team/app"] }, options), "mounted");
  const configBytes = Buffer.from("{}");
  const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: 2 };
  const { source } = streamedBlob(configBytes);
  await client.pushBlob(reference, { descriptor, source }, options);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptor,
      layers: [layer.descriptor],
    }),
  );
  const manifest = { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length };
  assert.equal(await client.pushManifest(reference, { descriptor: manifest, bytes }, options), "uploaded");
  assert.deepEqual(await client.resolve(reference, options), manifest);
  assert.ok((await client.fetchBlob(reference, layer.descriptor, options)).equals(big));
  assert.deepEqual(
    await collect(await client.openBlob(reference, layer.descriptor, { ...options, offset: 2_999_000 })),
    big.subarray(2_999_000),
  );
  await assert.rejects(client.resolve({ ...reference, tag: "none" }, options), { code: "not_found" });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
