import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellLayer } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

/** What somebody does to a file of the daemon's. */
type Damage = (path: string) => void;

const damages: readonly (readonly [what: string, damage: Damage])[] = [
  ["is cut off", (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ["has other bytes", (path) => writeFileSync(path, Buffer.alloc(statSync(path).size, 7))],
];

suite("a blob that somebody else damages", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("damaged-content"));
  let daemon: TestDaemon;
  let registry: StallingRegistry;
  let context: string;
  let exported = 0;

  before(async () => {
    registry = owned.use(await StallingRegistry.start());
    const image = registry.putImage("base", await shellLayer(folder.path));
    daemon = owned.use(await TestDaemon.start(folder.path));
    context = await busyboxContext(folder.path, `FROM ${image}\nRUN echo made > /made\nRUN echo again > /again\n`);
  });

  /** Builds, writes the image out, and reads it as others do. @returns the digests of its layers. */
  const layers = async (): Promise<string[]> => {
    const archive = join(folder.path, `out-${(exported += 1)}.tar`);
    const inputs = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
    await daemon.buildctlOk([
      "build",
      "--frontend",
      "dockerfile.v0",
      ...inputs,
      "--output",
      `type=oci,dest=${archive}`,
    ]);
    const layout = `${archive}.d`;
    // It hashes all that it reads.
    await runOk("skopeo", ["--insecure-policy", "copy", "-q", `oci-archive:${archive}`, `oci:${layout}:x`]);
    await runOk("umoci", ["unpack", "--image", `${layout}:x`, join(layout, "bundle")]);
    assert.equal(readFileSync(join(layout, "bundle/rootfs/again"), "utf8"), "again\n");
    const manifest = await runOk("skopeo", ["inspect", "--raw", `oci:${layout}:x`]);
    return (JSON.parse(manifest) as { layers: { digest: string }[] }).layers.map(({ digest }) => digest);
  };
  const damageAll = (digests: readonly string[], damage: Damage): void => {
    const blobs = join(daemon.root, "content/content/blobs/sha256");
    for (const name of readdirSync(blobs)) if (digests.includes(`sha256:${name}`)) damage(join(blobs, name));
  };
  const saysSo = (digests: readonly string[]): void => {
    for (const digest of digests)
      assert.match(daemon.log(), new RegExp(`Cannot use blob \\\\?"${digest}\\\\?": its bytes are`));
  };

  for (const [what, damage] of damages)
    test(`and ${what} is pulled or made again by the build that needs it, and the log says so`, async () => {
      const whole = await layers();
      damageAll(whole, damage);
      assert.deepEqual(await layers(), whole);
      saysSo(whole);
    });

  test("and that nobody has any more is made of the tree that was unpacked from it", async () => {
    const whole = await layers();
    await daemon.stop();
    damageAll(whole, (path) => writeFileSync(path, "damaged"));
    await daemon.start();
    const again = await layers();
    assert.deepEqual(again.slice(1), whole.slice(1));
    saysSo(whole);
  });
});
