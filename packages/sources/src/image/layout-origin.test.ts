import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { digestHex, digestOf, parseReference } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import { BlobDirectory, shareContentStores } from "@buildkit-ts/session/serving";
import { openTestSession } from "@buildkit-ts/session/testing";
import { LayoutOrigin } from "./layout-origin.ts";

test("an image of a client's layout is found by digest, with the media type of its manifest", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "layout-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }));
  const digest = digestOf(index);
  mkdirSync(join(folder, "blobs/sha256"), { recursive: true });
  writeFileSync(join(folder, "blobs/sha256", digestHex(digest)), index);
  await using session = await openTestSession([
    shareContentStores(new Map([["oci:images", new BlobDirectory(folder)]])),
  ]);
  const { manager, caller } = session;
  const open = (store: string): LayoutOrigin =>
    new LayoutOrigin({ sessions: manager, name: { session: caller.id, store } });
  const access = { sessions: () => [], progress: noProgress, signal: t.signal };
  const reference = parseReference(`base@${digest}`);

  const found = await open("images").resolve(reference, access);
  assert.deepEqual(found, { mediaType, digest, size: index.length });
  const chunks = await open("images").provider(reference, access).open(found, { signal: t.signal, offset: 1 });
  assert.deepEqual(Buffer.concat(await Array.fromAsync(chunks)), index.subarray(1));

  const absent = parseReference(`base@${digestOf("absent")}`);
  await assert.rejects(open("images").resolve(absent, access), {
    code: "not_found",
    message: `content ${digestOf("absent")} of the client's OCI layout "images": not found`,
  });
  await assert.rejects(open("other").resolve(reference, access), { message: /unknown store/ });
  await assert.rejects(open("images").resolve(parseReference("base:latest"), access), { message: /must have digest/ });
});
