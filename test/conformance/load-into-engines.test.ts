import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { pushBaseImage } from "../e2e/support/base-image.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { endProcess, run, runOk, temporaryFolder } from "../e2e/support/processes.ts";
import { TestRegistry } from "../e2e/support/registry.ts";

/** Debian's engine without networks: it is only to receive images. */
async function startEngine(folder: string): Promise<{ readonly host: string; readonly process: ChildProcess }> {
  const root = join(folder, "engine");
  mkdirSync(root);
  const host = `unix://${join(root, "docker.sock")}`;
  const log = openSync(join(root, "log"), "a");
  const flags = [
    "--iptables=false",
    "--bridge=none",
    "--data-root",
    join(root, "data"),
    "--exec-root",
    join(root, "exec"),
  ];
  const child = spawn("dockerd", [...flags, "--pidfile", join(root, "pid"), "-H", host], {
    stdio: ["ignore", log, log],
  });
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if ((await run("docker", ["-H", host, "version"])).code === 0) return { host, process: child };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await endProcess(child);
  throw new Error("the engine did not start");
}

const hasEngine = existsSync("/usr/sbin/dockerd") || existsSync("/usr/bin/dockerd");

suite("images loaded into engines", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("load"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  const context = join(folder.path, "context");

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    const base = await pushBaseImage(folder.path, registry.host);
    mkdirSync(context);
    writeFileSync(join(context, "Dockerfile"), `FROM ${base}\nRUN echo loaded > /greeting\nCMD ["cat", "/greeting"]\n`);
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  test("docker buildx --load gives an image that the engine runs", { skip: !hasEngine && "no dockerd" }, async () => {
    const engine = await startEngine(folder.path);
    try {
      const env = { DOCKER_HOST: engine.host };
      const built = await daemon.buildx(["build", "--progress=plain", "-t", "loaded:v1", "--load", context], { env });
      assert.equal(built.code, 0, built.output);
      const said = await runOk("docker", ["-H", engine.host, "run", "--rm", "--network", "none", "loaded:v1"]);
      assert.equal(said, "loaded\n");
    } finally {
      await endProcess(engine.process);
    }
  });

  test("podman load takes the docker archive", { skip: !existsSync("/usr/bin/podman") && "no podman" }, async () => {
    const archive = join(folder.path, "image.tar");
    const output = `type=docker,name=loaded:v1,dest=${archive}`;
    await daemon.buildctlOk([
      "build",
      "--frontend",
      "dockerfile.v0",
      "--local",
      `context=${context}`,
      "--local",
      `dockerfile=${context}`,
      "--output",
      output,
    ]);
    const storage = [
      "--root",
      join(folder.path, "podman"),
      "--runroot",
      join(folder.path, "podman-run"),
      "--storage-driver",
      "vfs",
    ];
    await runOk("podman", [...storage, "load", "-i", archive]);
    const config = await runOk("podman", [
      ...storage,
      "image",
      "inspect",
      "--format",
      "{{json .Config.Cmd}}",
      "loaded:v1",
    ]);
    assert.deepEqual(JSON.parse(config), ["cat", "/greeting"]);
  });
});
