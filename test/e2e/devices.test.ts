import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";

suite("RUN --device", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("devices"));
  const specs = join(folder.path, "cdi");
  let daemon: TestDaemon;

  before(async () => {
    mkdirSync(specs);
    writeFileSync(join(folder.path, "shared"), "from the host\n");
    const edits = {
      env: ["CARD=zero"],
      deviceNodes: [{ path: "/dev/card", hostPath: "/dev/zero" }],
      mounts: [{ hostPath: join(folder.path, "shared"), containerPath: "/opt/card/shared", options: ["rbind", "ro"] }],
    };
    writeFileSync(
      join(specs, "card.json"),
      JSON.stringify({ cdiVersion: "0.6.0", kind: "acme.com/card", devices: [{ name: "0", containerEdits: edits }] }),
    );
    daemon = owned.use(await TestDaemon.start(folder.path, [`--cdi-spec-dir=${specs}`]));
  });

  async function build(lines: string, args: readonly string[] = []) {
    const context = await busyboxContext(folder.path, `${shellStage}FROM base\n${lines}\n`, {});
    return await daemon.buildx(["build", "--progress=plain", "--no-cache", ...args, context]);
  }

  test("gives a step the device's node, variables and mounts, and leaves nothing of them in the layer", async () => {
    const { code, output } = await build(
      `RUN --device=acme.com/card=0 echo $CARD && head -c 4 /dev/card | od -c && cat /opt/card/shared
RUN test ! -e /dev/card && test ! -e /opt/card/shared && test -z "$CARD" && echo clean`,
      ["--allow=device=acme.com/card=0"],
    );
    assert.equal(code, 0, output);
    assert.match(output, /zero\n[^]*\\0 +\\0 +\\0 +\\0[^]*from the host[^]*clean/);
  });

  test("is refused to a build that was not granted the device", async () => {
    const { code, output } = await build("RUN --device=acme.com/card true");
    assert.notEqual(code, 0);
    assert.match(output, /device acme\.com\/card=0 is requested by the build but not allowed/);
  });

  test("names a device that is not there, unless the step can do without", async () => {
    const { output } = await build("RUN --device=acme.com/none,required true", ["--allow=device"]);
    assert.match(output, /required device "acme\.com\/none" is not registered/);
    const optional = await build("RUN --device=acme.com/none true", ["--allow=device"]);
    assert.equal(optional.code, 0, optional.output);
  });

  test("lists devices of the worker, also those that came while the daemon ran", async () => {
    const later = {
      cdiVersion: "0.6.0",
      kind: "acme.com/late",
      devices: [{ name: "x", containerEdits: { env: ["A=1"] } }],
    };
    writeFileSync(join(specs, "late.json"), JSON.stringify(later));
    const { output } = await daemon.buildx(["inspect"]);
    assert.match(output, /acme\.com\/card=0/);
    assert.match(output, /acme\.com\/late=x/);
    rmSync(join(specs, "late.json"));
  });

  test("names a device whose node the host lacks", async () => {
    const edits = { deviceNodes: [{ path: "/dev/no-such-device" }] };
    const gone = { cdiVersion: "0.6.0", kind: "acme.com/gone", devices: [{ name: "x", containerEdits: edits }] };
    writeFileSync(join(specs, "gone.json"), JSON.stringify(gone));
    const { output } = await build("RUN --device=acme.com/gone,required true", ["--allow=device"]);
    assert.match(output, /Cannot give device "\/dev\/no-such-device" to a step: the host has no such device/);
  });
});
