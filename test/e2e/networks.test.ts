import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { run, temporaryFolder } from "./support/processes.ts";

const plugins = "/usr/lib/cni";
/** Bridges, addresses and firewall rules are made in a network of the test's own, never in the machine's. */
const ownNetwork = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"];

const bridgeConfig = {
  cniVersion: "1.0.0",
  name: "test",
  type: "bridge",
  bridge: "testbr0",
  isDefaultGateway: true,
  ipMasq: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.99.0.0/24" }]] },
};

async function outputOf(daemon: TestDaemon, lines: string, args: string[] = []): Promise<string> {
  const context = await busyboxContext(dirname(daemon.root), `${shellStage}FROM base\n${lines}\n`, {});
  const { code, output } = await daemon.buildctl([
    "build",
    "--frontend=dockerfile.v0",
    "--progress=plain",
    `--local=context=${context}`,
    `--local=dockerfile=${context}`,
    "--no-cache",
    ...args,
  ]);
  assert.equal(code, 0, output);
  return output;
}

function addressIn(output: string): string | undefined {
  return /inet (\S+)\/\d+ .*eth0/.exec(output)?.[1];
}

function namespacesOf(daemon: TestDaemon): string[] {
  return readdirSync(join(daemon.root, "network/namespaces"));
}

async function mountsOf(root: string): Promise<string[]> {
  const { stdout } = await run("cat", ["/proc/self/mountinfo"]);
  return stdout.split("\n").filter((line) => line.includes(root));
}

suite("the CNI network", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("cni"));
  let daemon: TestDaemon;

  before(async () => {
    const path = join(folder.path, "cni.json");
    writeFileSync(path, JSON.stringify(bridgeConfig));
    daemon = owned.use(
      await TestDaemon.start(
        folder.path,
        [
          `--oci-cni-config-path=${path}`,
          `--oci-cni-binary-dir=${plugins}`,
          "--allow-insecure-entitlement=network.host",
        ],
        ownNetwork,
      ),
    );
  });

  test("is what auto means where one is configured, and is the worker's label", async () => {
    assert.match(await daemon.buildctlOk(["debug", "workers", "--verbose"]), /worker\.network:\s+cni/);
  });

  test("gives each step an address of its own, by which it reaches the host", async () => {
    const output = await outputOf(daemon, "RUN ip -4 addr show eth0 && ping -c 1 10.99.0.1");
    assert.match(addressIn(output) ?? "", /^10\.99\.0\.\d+$/);
    assert.match(output, /1 packets received/);
  });

  test("uses a namespace again for the next step, and another one for a step beside it", async () => {
    const one = addressIn(await outputOf(daemon, "RUN ip -4 addr show eth0"));
    assert.equal(addressIn(await outputOf(daemon, "RUN ip -4 addr show eth0")), one);
    const output = await outputOf(
      daemon,
      "RUN ip -4 addr show eth0 && sleep 1 && touch /a\nFROM base AS b\nRUN ip -4 addr show eth0 && sleep 1 && touch /b\nFROM scratch\nCOPY --from=1 /a /\nCOPY --from=b /b /",
    );
    const addresses = [...output.matchAll(/inet (10\.99\.0\.\d+)/g)].map(([, address]) => address);
    assert.equal(new Set(addresses).size, 2, output);
  });

  test("takes a namespace that has a hostname away with its step", async () => {
    const count = namespacesOf(daemon).length;
    const output = await outputOf(daemon, "RUN hostname && ip -4 addr show eth0", ["--opt=hostname=named"]);
    assert.match(output, /named/);
    assert.equal(namespacesOf(daemon).length, count);
  });

  test("leaves --network=none without devices and --network=host with the daemon's", async () => {
    const none = await outputOf(daemon, "RUN --network=none ip link && echo done");
    assert.doesNotMatch(none, /eth0|testbr0/);
    const host = await outputOf(daemon, "RUN --network=host ip link", ["--allow=network.host"]);
    assert.match(host, /testbr0/);
  });

  test("is cleaned up by the daemon that follows on a killed one", async () => {
    const [old = ""] = namespacesOf(daemon);
    assert.notEqual(old, "");
    await daemon.kill();
    await daemon.start();
    assert.ok(!namespacesOf(daemon).includes(old), "the old namespace is gone");
    assert.ok(addressIn(await outputOf(daemon, "RUN ip -4 addr show eth0")) !== undefined);
    await daemon.stop();
    assert.deepEqual(await mountsOf(daemon.root), []);
    assert.deepEqual(namespacesOf(daemon), []);
    await daemon.start();
  });
});

suite("the bridge network", () => {
  test("needs no configuration, and goes with the daemon that made it", async () => {
    using folder = temporaryFolder("bridge");
    const config = join(folder.path, "none.toml");
    writeFileSync(
      config,
      `[worker.oci]\nnetworkMode = "bridge"\ncniBinaryPath = "${plugins}"\nbridgeName = "bktest0"\n`,
    );
    // The shell stays, to look at the network after the daemon.
    const after = join(folder.path, "after");
    const launcher = [
      "unshare",
      "--net",
      "sh",
      "-c",
      `ip link set lo up; "$@" & trap 'kill $!; wait; ip link > ${after}; exit' TERM; wait`,
      "sh",
    ];
    const daemon = await TestDaemon.start(folder.path, [], launcher);
    try {
      const output = await outputOf(daemon, "RUN ip -4 addr show eth0 && ping -c 1 10.10.0.1");
      assert.match(addressIn(output) ?? "", /^10\.10\./);
    } finally {
      await daemon.stop();
    }
    const { stdout } = await run("cat", [after]);
    assert.match(stdout, /lo:/);
    assert.doesNotMatch(stdout, /bktest0/);
  });
});

suite("a network that does not work", () => {
  for (const [name, config, message] of [
    [
      "a plugin that is not there",
      { ...bridgeConfig, type: "no-such-plugin" },
      /Cannot find CNI plugin "no-such-plugin"/,
    ],
    ["a plugin's path", { ...bridgeConfig, type: "../../bin/sh" }, /no plugin can be called/],
    ["a subnet that is none", { ...bridgeConfig, ipam: { type: "host-local", subnet: "x" } }, /failed to ADD/],
  ] as const) {
    test(`ends the daemon's start: ${name}`, async () => {
      using folder = temporaryFolder("badnet");
      const path = join(folder.path, "cni.json");
      writeFileSync(path, JSON.stringify(config));
      const flags = ["--oci-worker-net=cni", `--oci-cni-config-path=${path}`, `--oci-cni-binary-dir=${plugins}`];
      await assert.rejects(TestDaemon.start(folder.path, flags, ownNetwork), { message });
      assert.deepEqual(await mountsOf(folder.path), []);
    });
  }
});
