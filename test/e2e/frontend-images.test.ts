import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { failureDetails } from "@buildkit-ts/client";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { pushNodeFrontend, pushShellFrontend } from "./support/frontend-image.ts";
import { leftoversAfter } from "./support/leftovers.ts";
import { temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { type Solved, type SolveOptions, solve } from "./support/solve.ts";

const capabilities = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts";

suite("a frontend that is an image", () => {
  const folder = temporaryFolder("frontend-images");
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;
  let probe: string;

  before(async () => {
    registry = await TestRegistry.start(folder.path);
    base = await pushBaseImage(folder.path, registry.host);
    daemon = await TestDaemon.start(folder.path);
    probe = `${registry.host}/probe:latest`;
    await pushNodeFrontend("test/e2e/support/probe-frontend.ts", {
      daemon,
      folder: folder.path,
      name: probe,
      labels: { "moby.buildkit.frontend.network.none": "true" },
    });
  });

  after(async () => {
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function ask(attributes: Readonly<Record<string, string>>, options: SolveOptions = {}): Promise<Solved> {
    return await solve(daemon, {
      frontend: "gateway.v0",
      ...options,
      attributes: { source: probe, base, ...attributes },
    });
  }

  /** What the probe reports of itself. */
  async function reported(attributes: Readonly<Record<string, string>>): Promise<Record<string, unknown>> {
    const out = mkdtempSync(join(folder.path, "out-"));
    const exports = [
      { type: "local", attributes: {}, target: { kind: "directory", path: out, mirror: false } },
    ] as const;
    const solved = await ask(attributes, { exports });
    assert.equal(solved.error, undefined);
    return JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as Record<string, unknown>;
  }

  /** What comes of an image whose frontend is a script. */
  async function scripted(script: string, options: SolveOptions = {}): Promise<string> {
    const name = `${registry.host}/scripted:latest`;
    await pushShellFrontend(script, { daemon, folder: folder.path, name, base });
    const solved = await ask({ source: name }, options);
    return String(solved.error);
  }

  test("builds a Dockerfile that names it with syntax=, with its own steps, cached the second time", async () => {
    const name = `${registry.host}/dockerfile:1`;
    await pushNodeFrontend("apps/dockerfile-frontend/src/main.ts", {
      daemon,
      folder: folder.path,
      name,
      labels: { "moby.buildkit.frontend.caps": capabilities },
    });
    const context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(join(context, "word"), "hello");
    writeFileSync(
      join(context, "Dockerfile"),
      `# syntax=${name}\nFROM ${base} AS made\nCOPY word /word\nRUN tr a-z A-Z < /word > /loud\nFROM scratch\nCOPY --from=made /loud /\n`,
    );
    const out = mkdtempSync(join(folder.path, "out-"));
    const build = async (): Promise<string> => {
      const result = await daemon.buildx(["build", "--progress", "plain", "-o", out, context]);
      assert.equal(result.code, 0, result.output);
      return result.output;
    };
    const first = await build();
    assert.match(first, new RegExp(`resolve image config for docker-image://${name}`));
    assert.match(first, /\[made 3\/3\] RUN tr a-z A-Z/);
    assert.equal(readFileSync(join(out, "loud"), "utf8"), "HELLO");
    assert.match(await build(), /\[made 3\/3\] RUN tr a-z A-Z[^\n]*\n#\d+ CACHED/);
  });

  test("is told its options, its worker and its own graph, and nothing of the machine", async () => {
    const report = await reported({ probe: "surroundings", "build-arg:X": "a=b" });
    const options = report["options"] as Record<string, string>;
    assert.equal(options["build-arg:X"], "a=b");
    assert.equal(report["product"], "buildkit");
    assert.deepEqual(report["interfaces"], ["lo"]);
    assert.equal(report["isIsolated"], true);
    assert.ok((report["metadataBytes"] as number) > 50);
    const [worker] = report["workers"] as { id: string; platforms: { os: string }[] }[];
    assert.equal(worker?.platforms[0]?.os, "linux");
  });

  test("may call another frontend, and hand on its result", async () => {
    const report = await reported({ probe: "nested", inner: probe });
    assert.equal((report["options"] as Record<string, string>)["probe"], "surroundings");
  });

  test("fails with its own error, or with that of the step it had built, with all that is known of it", async () => {
    const refused = await ask({ probe: "error" });
    assert.match(String(refused.error), /the probe does not want to/);
    const failed = await ask({ probe: "failing-step" });
    assert.match(String(failed.error), /process "sh -c exit 7" did not complete successfully: exit code: 7/);
    const { vertex } = failureDetails(failed.error);
    assert.match(vertex ?? "", /^sha256:/);
  });

  test("must have the capabilities that the client requires", async () => {
    const solved = await ask({ probe: "surroundings", "frontend.caps": "moby.buildkit.frontend.subrequests" });
    assert.match(String(solved.error), /unsupported frontend capability moby.buildkit.frontend.subrequests/);
  });

  test("sees nothing but its tree, whatever paths and links it asks for", async () => {
    const report = await reported({ probe: "escape" });
    for (const [path, text] of Object.entries(report)) {
      if (path === "selected") assert.match(String(text), /passwd/);
      else assert.match(String(text), /no such file or directory/, path);
    }
  });

  test("gets no entitlement that the build has not", async () => {
    assert.deepEqual(await reported({ probe: "entitlements" }), {
      insecureStep: "security.insecure is not allowed",
      hostStep: "network.host is not allowed",
      insecureProcess: "security.insecure is not allowed",
      hostContainer: "network.host is not allowed",
      plainProcess: "0",
    });
  });

  test("that ends without a result is an error that says so", async () => {
    for (const code of ["0", "5"]) {
      const solved = await ask({ probe: "exit", code });
      const said = code === "0" ? /Cannot use frontend ".*probe:latest": it ended without a result/ : /exit code: 5/;
      assert.match(String(solved.error), said);
    }
  });

  test("that ends badly after its result has no result", async () => {
    assert.match(String((await ask({ probe: "exit-after-result" })).error), /exit code: 3/);
  });

  test("that is none at all is an error that says so", async () => {
    const solved = await ask({ source: base });
    assert.match(
      String(solved.error),
      /Cannot use frontend ".*busybox:latest": exit code: 1 \(it wrote: .*exec: "\/run"/,
    );
  });

  test("whose output is no HTTP/2 is ended, with an error that says so", async () => {
    const error = await scripted("head -c 100000 /dev/urandom; exec sleep 1000");
    assert.match(error, /Cannot use frontend ".*scripted:latest": it does not speak HTTP\/2 on its standard output/);
  });

  test("that floods both of its outputs fills neither memory nor log", async () => {
    const error = await scripted("head -c 50000000 /dev/zero | tr '\\0' 'x' >&2; echo the end >&2; exit 9");
    assert.match(error, /exit code: 9/);
    assert.match(error, /it wrote: x+the end/);
    assert.ok(error.length < 10_000);
    assert.ok(daemon.log().length < 5_000_000);
    assert.match(await scripted("exec cat /dev/zero"), /does not speak HTTP\/2/);
    const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
    const residentKb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
    assert.ok(residentKb < 700_000, `the daemon has ${residentKb} kB`);
  });

  test("that hangs ends with the build that is given up", async () => {
    const abort = new AbortController();
    const error = await scripted("echo ready >&2; exec sleep 1000", {
      signal: abort.signal,
      onProgress: ({ steps }) => {
        // The image is there, so the frontend is what the build waits for.
        const pulled = [...steps].some(([name, { completed }]) => completed && name.includes("@sha256:"));
        if (pulled) abort.abort(new Error("enough"));
      },
    });
    assert.match(error, /enough|cancel/i);
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 10_000 }), []);
  });

  test("of a repository that is not allowed is refused, and one that is turned off does not exist", async () => {
    const other = mkdtempSync(join(folder.path, "other-"));
    const config = join(other, "none.toml");
    writeFileSync(config, `[frontend."gateway.v0"]\nallowedRepositories = ["docker.io/docker/dockerfile"]\n`);
    {
      await using strict = await TestDaemon.start(other);
      const solved = await solve(strict, { frontend: "gateway.v0", attributes: { source: probe } });
      assert.match(String(solved.error), /'.*probe:latest' is not an allowed gateway source/);
    }
    writeFileSync(config, `[frontend."gateway.v0"]\nenabled = false\n`);
    await using off = await TestDaemon.start(other);
    const solved = await solve(off, { frontend: "gateway.v0", attributes: { source: probe } });
    assert.match(String(solved.error), /invalid frontend: gateway.v0/);
  });

  test("starts within 300 ms once its image is there", async () => {
    const name = `${registry.host}/quick:latest`;
    await pushShellFrontend("exit 9", { daemon, folder: folder.path, name, base });
    const elapsed: number[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const started = performance.now();
      await ask({ source: name });
      elapsed.push(performance.now() - started);
    }
    // With connecting, resolving and the end of it; the first of them pulls. A machine that does other things may be slow once.
    assert.ok(Math.min(...elapsed.slice(1)) < 300, String(elapsed));
  });
});
