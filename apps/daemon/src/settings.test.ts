import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseConfig } from "./config-file.ts";
import { parseFlags } from "./flags.ts";
import { durationMs, parseDiskSpace } from "./quantities.ts";
import { resolveSettings, type Settings } from "./settings.ts";

function settings(args: readonly string[], toml = ""): Settings {
  return resolveSettings(parseFlags(args), parseConfig(toml, "test.toml"));
}

function failure(work: () => unknown): BuildError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof BuildError);
    return error;
  }
  assert.fail("it did not throw");
}

suite("flags", () => {
  test("are accepted as other people's test suites give them", () => {
    const args =
      "--oci-worker=true --containerd-worker=false --oci-worker-gc=false --oci-worker-labels=a.b=true --root /r --addr unix:///s --debug";
    const { labels, gcRules, addresses, root, log } = settings([...args.split(" "), "--config=/x.toml"]);
    assert.deepEqual(labels, { "a.b": "true" });
    assert.deepEqual(gcRules, []);
    assert.deepEqual(addresses, ["unix:///s"]);
    assert.equal(root, "/r");
    assert.equal(log.level, "debug");
  });

  test("win over the file", () => {
    assert.deepEqual(
      settings(["--addr", "tcp://127.0.0.1:1", "--addr", "unix:///b"], '[grpc]\naddress = ["unix:///a"]').addresses,
      ["tcp://127.0.0.1:1", "unix:///b"],
    );
  });

  test("turn the proxy network on for all builds, and off again", () => {
    assert.equal(settings([]).proxyNetwork, false);
    assert.equal(settings(["--proxy-network"]).proxyNetwork, true);
    assert.equal(settings([], "proxyNetwork = true").proxyNetwork, true);
    assert.equal(settings(["--proxy-network=false"], "proxyNetwork = true").proxyNetwork, false);
  });

  for (const args of [["--rootless"], ["--containerd-worker=true"], ["--oci-worker-snapshotter=stargz"]]) {
    test(`${args.join(" ")} is refused, since the daemon lacks it`, () => {
      assert.equal(failure(() => settings(args)).code, "unimplemented");
    });
  }

  test("that are unknown are an error that names them", () => {
    assert.match(failure(() => settings(["--no-such-flag"])).message, /--no-such-flag/);
  });
});

suite("the configuration file", () => {
  test("says which frontends there are, and which images may be some", () => {
    assert.deepEqual(settings([]).frontends, { dockerfile: true, gateway: true, allowedRepositories: [] });
    const toml = `
[frontend."dockerfile.v0"]
enabled = false
[frontend."gateway.v0"]
allowedRepositories = ["docker.io/docker/dockerfile"]
`;
    const allowedRepositories = ["docker.io/docker/dockerfile"];
    assert.deepEqual(settings([], toml).frontends, { dockerfile: false, gateway: true, allowedRepositories });
    assert.match(failure(() => settings([], '[frontend."gateway.v1"]')).message, /frontend\.gateway\.v1: no such key/);
  });

  test("gives registries, policies and limits", () => {
    const toml = `
[worker.oci]
  max-parallelism = 3
  [[worker.oci.gcpolicy]]
    keepDuration = "48h"
    maxUsedSpace = "1GB"
    filters = ["type==source.local"]
[registry."docker.io"]
  mirrors = ["mirror.example"]
[history]
  maxAge = 60
  maxEntries = 5
`;
    const { maxParallelism, gcRules, registries, history } = settings([], toml);
    assert.equal(maxParallelism, 3);
    assert.deepEqual(gcRules, [
      {
        all: false,
        filters: ["type==source.local"],
        keepDurationMs: 172_800_000,
        reservedSpaceBytes: 0,
        maxUsedSpaceBytes: 1e9,
        minFreeSpaceBytes: 0,
      },
    ]);
    assert.deepEqual(registries.get("docker.io")?.mirrors, ["mirror.example"]);
    assert.deepEqual(history, { maxAgeMs: 60_000, maxEntries: 5 });
  });

  test("is refused with its line where it is no TOML, and with the key where a value is wrong", () => {
    assert.match(failure(() => parseConfig("a = 1\nb = =\n", "x.toml")).message, /x\.toml:2:/);
    assert.match(
      failure(() => settings([], "[worker.oci]\nmax-parallelism = true\n")).message,
      /worker\.oci\.max-parallelism/,
    );
    assert.match(failure(() => settings([], "debgu = true\n")).message, /debgu/);
  });
});

test("durationMs() reads Go's durations and whole seconds", () => {
  assert.equal(durationMs("1h30m", "x"), 5_400_000);
  assert.equal(durationMs(90, "x"), 90_000);
  assert.equal(failure(() => durationMs("soon", "x")).code, "invalid_argument");
});

test("parseDiskSpace() reads bytes, units and shares of the disk", () => {
  assert.equal(parseDiskSpace(512, "x", "/"), 512);
  assert.equal(parseDiskSpace("2Gi", "x", "/"), 2 ** 31);
  assert.equal(parseDiskSpace("1.5GB", "x", "/"), 1.5e9);
  assert.equal(parseDiskSpace("10%", "x", "/") % 1e9, 0);
  assert.equal(failure(() => parseDiskSpace("much", "x", "/")).code, "invalid_argument");
});
