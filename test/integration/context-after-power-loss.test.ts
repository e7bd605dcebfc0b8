import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hostPlatform } from "@buildkit-ts/oci";
import { shareDirectories } from "@buildkit-ts/session/serving";
import { LocalSource } from "@buildkit-ts/sources";
import { Parts, treeOf } from "./support/parts.ts";

/** What one process finds of the context. @param said Gets what it says of its root. */
async function syncOnce(
  root: string,
  context: string,
  said: unknown[] = [],
): Promise<{ readonly text: string; readonly checksum: string }> {
  await using parts = await Parts.open(root, { report: (error) => said.push(error) });
  const source = new LocalSource(parts.services);
  const request = { identifier: "local://context", attributes: {}, platform: hostPlatform(), vertex: "" };
  const attachables = await parts.connect([shareDirectories({ context })], context);
  await using version = await treeOf(source.resolve(request), parts.context(attachables));
  const checksum = await parts.cache.contentChecksum(version, "/", parts);
  await using held = await version.mount(parts);
  return { text: readFileSync(join(held.mounts[0]?.source ?? "", "file"), "utf8"), checksum };
}

test("a version that was made in the place of another is not taken for that one by an earlier state of the database", async () => {
  const folder = mkdtempSync(join(tmpdir(), "power-loss-"));
  const [root, context, saved] = [join(folder, "root"), join(folder, "context"), join(folder, "saved.db")];
  try {
    mkdirSync(context);
    writeFileSync(join(context, "file"), "one");
    const first = await syncOnce(root, context);
    copyFileSync(join(root, "state.db"), saved);
    writeFileSync(join(context, "file"), "another");
    const second = await syncOnce(root, context);
    assert.notEqual(second.checksum, first.checksum);
    // The machine goes down before the last transactions are on its disk, but when the files are.
    copyFileSync(saved, join(root, "state.db"));
    for (const name of ["state.db-wal", "state.db-shm"]) rmSync(join(root, name), { force: true });
    const said: unknown[] = [];
    assert.deepEqual(await syncOnce(root, context, said), second);
    assert.match(String(said), /Cannot find the files of 1 snapshots: they are forgotten/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
