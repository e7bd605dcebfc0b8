import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { decodeTar, type TarHeader } from "@buildkit-ts/tar";
import { TestDaemon } from "./support/daemon.ts";
import { type RunResult, run, runOk, temporaryFolder } from "./support/processes.ts";
import { StallingClient } from "./support/stalling-client.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

suite("contexts with unusual files", () => {
  const folder = temporaryFolder("unusual-contexts");
  let daemon: TestDaemon;
  let server: Server;
  let context: string;

  before(async () => {
    daemon = await TestDaemon.start(folder.path);
    context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY tree /\n");
    const tree = join(context, "tree");
    mkdirSync(tree);
    for (const name of ["a,b", "new\nline", "*", "[x]", "-rf", " ", "\u{1F600}", "x".repeat(255)])
      writeFileSync(join(tree, name), name);
    writeFileSync(latin1(`${tree}/caf\xe9`), "latin");
    linkSync(latin1(`${tree}/caf\xe9`), join(tree, "linked"));
    symlinkSync(latin1("caf\xe9"), join(tree, "symlink"));
    execFileSync("mkfifo", [join(tree, "fifo")]);
    execFileSync("mknod", [join(tree, "null"), "c", "1", "3"]);
    server = createServer();
    await new Promise<void>((resolve) => server.listen(join(tree, "socket"), resolve));
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    server.close();
    folder[Symbol.dispose]();
  });

  const clients: readonly (readonly [name: string, build: (...args: readonly string[]) => Promise<RunResult>])[] = [
    [
      "docker-buildx",
      async (...args) => await daemon.buildx(["build", "--progress=plain", "--provenance=false", ...args, context]),
    ],
    [
      "buildctl",
      async (...args) => {
        const locals = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
        return await daemon.buildctl(["build", "--progress=plain", "--frontend=dockerfile.v0", ...locals, ...args]);
      },
    ],
  ];
  for (const [name, build] of clients) {
    test(`arrive whole from ${name}`, async () => {
      const archive = join(folder.path, `${name}.tar`);
      const { code, output } = await build(`--output=type=tar,dest=${archive}`);
      assert.equal(code, 0, `${output}\n${daemon.log()}`);
      const entries = await entriesOf(archive);
      const names = ["a,b", "new\nline", "*", "[x]", "-rf", " ", "\u{1F600}", "x".repeat(255)];
      for (const one of names) assert.equal(entries.get(one)?.size, Buffer.byteLength(one), one);
      // As the codec has bytes that are no UTF-8.
      assert.equal(entries.get("caf\udce9")?.size, 5);
      assert.deepEqual([entries.get("linked")?.type, entries.get("linked")?.linkName], ["hardlink", "caf\udce9"]);
      assert.deepEqual([entries.get("symlink")?.type, entries.get("symlink")?.linkName], ["symlink", "caf\udce9"]);
      assert.deepEqual([entries.get("fifo")?.type, entries.get("null")?.type], ["fifo", "character"]);
      assert.deepEqual([entries.get("socket")?.type, entries.get("socket")?.size], ["file", 0]);
    });

    test(`name the file that changes while ${name} sends them`, async () => {
      const changing = mkdtempSync(join(folder.path, "changing-"));
      writeFileSync(join(changing, "Dockerfile"), "FROM scratch\nCOPY . /\n");
      writeFileSync(join(changing, "log"), "");
      truncateSync(join(changing, "log"), 8 * 2 ** 30);
      let isCut = false;
      const onOutput = (output: string): void => {
        if (isCut || !/transferring context: [\d.]+[MG]B/.test(output)) return;
        isCut = true;
        truncateSync(join(changing, "log"), 10);
      };
      const locals = ["--local", `context=${changing}`, "--local", `dockerfile=${changing}`];
      const result =
        name === "buildctl"
          ? await daemon.buildctl(["build", "--progress=plain", "--frontend=dockerfile.v0", ...locals], { onOutput })
          : await daemon.buildx(["build", "--progress=plain", "--output=type=cacheonly", changing], { onOutput });
      assert.ok(isCut, result.output);
      assert.notEqual(result.code, 0, result.output);
      assert.match(result.output, /"log"/);
    });
  }

  const changes: readonly (readonly [what: string, before: string, after: string, came: string])[] = [
    ["is empty and grows", "", "grown", "0 bytes and more came"],
    ["grows", "line\n", "line\nline\n", "5 bytes and more came"],
    ["shrinks", "line\n", "", "5 bytes and 0 came"],
  ];
  for (const [what, listed, sent, came] of changes) {
    test(`name the file that ${what} after docker-buildx has listed it`, async () => {
      const changing = mkdtempSync(join(folder.path, "changing-"));
      writeFileSync(join(changing, "Dockerfile"), "FROM scratch\nCOPY . /\n");
      // Four are sent at a time, and what comes after them waits.
      for (const name of ["a", "b", "c", "d"]) writeFileSync(join(changing, name), Buffer.alloc(24 << 20));
      writeFileSync(join(changing, "log"), listed);
      const socket = `${changing}.sock`;
      const options = { daemon: daemon.address.slice("unix://".length), afterBytes: 4 << 20 };
      using stalling = await StallingClient.start(socket, options);
      const env = { ...daemon.buildxEnvironment, BUILDX_CONFIG: `${changing}.buildx` };
      await runOk("docker-buildx", ["create", "--name", "stalled", "--driver", "remote", `unix://${socket}`], { env });
      const args = ["build", "--builder", "stalled", "--progress=plain", "--output=type=cacheonly", changing];
      const building = run("docker-buildx", args, { env });
      await stalling.isHeld;
      writeFileSync(join(changing, "log"), sent);
      stalling.release();
      const { code, output } = await building;
      assert.notEqual(code, 0, output);
      assert.ok(output.includes(`Cannot receive file "log": it was listed with ${came}`), output);
    });
  }

  test("arrive whole where our client takes them as output", async () => {
    const target = join(folder.path, "local");
    const locals = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
    await daemon.buildctlOk(["build", "--frontend=dockerfile.v0", ...locals, `--output=type=local,dest=${target}`]);
    assert.equal(readFileSync(latin1(`${target}/caf\xe9`), "utf8"), "latin");
    assert.equal(lstatSync(join(target, "linked")).ino, lstatSync(latin1(`${target}/caf\xe9`)).ino);
    assert.ok(lstatSync(join(target, "fifo")).isFIFO());
  });
});

async function entriesOf(archive: string): Promise<Map<string, TarHeader>> {
  const bytes = (async function* () {
    yield readFileSync(archive);
  })();
  const entries = new Map<string, TarHeader>();
  for await (const { header } of decodeTar(bytes, { signal: AbortSignal.timeout(30_000) })) {
    entries.set(header.name, header);
  }
  return entries;
}
