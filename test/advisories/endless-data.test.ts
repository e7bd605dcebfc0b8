import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { crc32 } from "node:zlib";
import { busyboxContext } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { allocatedBytes } from "../e2e/support/disk-use.ts";
import { leftoversAfter } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { type Solved, solveDockerfile } from "../e2e/support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";
const megabytes = isNightly ? 4096 : 96;
/** Far below what passes through, and far above what buffers and threads take. */
const maxGrowthMb = 250;

/** Data without end, or that becomes very much: what the daemon needs for it does not depend on how much it is. */
suite("endless data", { timeout: 15 * 60_000 }, () => {
  const folder = temporaryFolder("endless-data");
  let daemon: TestDaemon;

  before(async () => {
    writeFileSync(join(folder.path, "none.toml"), `[unpack]\nmaxRatio = 2\nallowance = "${megabytes - 32}MB"\n`);
    daemon = await TestDaemon.start(folder.path);
  });
  after(async () => {
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  /** Memory that the daemon had at most during some work, beyond what it had before; not told of by every machine. */
  const measure = async <T>(work: () => Promise<T>): Promise<T> => {
    if (!isNightly) return await work();
    const status = (name: string): number => {
      const text = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
      return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? "0") / 1024;
    };
    // Begins the peak anew (proc(5), clear_refs).
    writeFileSync(`/proc/${daemon.pid}/clear_refs`, "5");
    const start = status("VmRSS");
    const result = await work();
    const grown = status("VmHWM") - start;
    assert.ok(grown < maxGrowthMb, `${grown.toFixed(0)} MB more than ${start.toFixed(0)} MB`);
    return result;
  };

  const build = async (
    lines: string,
    files: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Solved> => {
    const context = await busyboxContext(folder.path, lines);
    for (const [name, path] of Object.entries(files)) execFileSync("ln", [path, join(context, name)]);
    return await solveDockerfile(daemon, context, { signal: signal ?? AbortSignal.timeout(300_000) });
  };

  const programs: readonly (readonly [name: string, command: string])[] = [
    ["gzip", "gzip -1"],
    [
      "zstd",
      `${process.execPath} -e 'process.stdin.pipe(require("node:zlib").createZstdCompress()).pipe(process.stdout)'`,
    ],
    ["xz", "xz -0"],
    ["bzip2", "bzip2 -1"],
  ];
  for (const [name, command] of programs) {
    test(`in an archive of ${name} is unpacked up to the limit, and removed`, async () => {
      const bomb = join(folder.path, `bomb.${name}`);
      // An archive with one file of zeros, made as a stream.
      const tar = `truncate -s ${megabytes}M ${bomb}.zeros && tar -C ${folder.path} -cf - bomb.${name}.zeros`;
      execFileSync("sh", ["-c", `${tar} | ${command} > ${bomb} && rm ${bomb}.zeros`], { stdio: "pipe" });
      const used = allocatedBytes(daemon.root);
      const { error } = await measure(async () => await build("FROM scratch\nADD bomb /\n", { bomb }));
      assert.match(String(error), /Cannot unpack archive: it becomes larger than/);
      await daemon.buildctlOk(["prune", "--all"]);
      assert.ok(allocatedBytes(daemon.root) < used + (32 << 20));
    });
  }

  test("in an archive of xz that wants gigabytes of memory is refused", async () => {
    const bomb = join(folder.path, "dictionary.xz");
    // What packs needs ten times as much as what unpacks; the header alone says how much that is.
    const small = execFileSync("xz", ["--format=xz", "--lzma2=dict=4KiB", "-c"], { input: Buffer.alloc(10_240) });
    writeFileSync(bomb, withDictionary(small, 38));
    const { error } = await build("FROM scratch\nADD bomb /\n", { bomb });
    assert.match(String(error), /Cannot decompress "xz" stream: .*[Mm]emory/);
  });

  test("from a web server is taken until nobody wants it any more, and removed", async () => {
    const zeros = Buffer.alloc(1 << 20);
    let sent = 0;
    const enough = Promise.withResolvers<void>();
    const hungUp = Promise.withResolvers<void>();
    const server: Server = createServer((_request, response) => {
      response.on("close", () => hungUp.resolve());
      const send = async (): Promise<void> => {
        while (!response.destroyed) {
          if (!response.write(zeros)) await Promise.race([once(response, "drain"), hungUp.promise]);
          sent += 1;
          if (sent === megabytes) enough.resolve();
        }
      };
      send().catch((error: unknown) => enough.reject(error as Error));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const used = allocatedBytes(daemon.root);
    const stop = new AbortController();
    try {
      const { port } = server.address() as AddressInfo;
      const { error } = await measure(async () => {
        const building = build(`FROM scratch\nADD http://127.0.0.1:${port}/x /\n`, {}, stop.signal);
        await enough.promise;
        stop.abort(new Error("enough"));
        return await building;
      });
      assert.notEqual(error, undefined);
      await hungUp.promise;
    } finally {
      server.closeAllConnections();
      server.close();
    }
    await daemon.buildctlOk(["prune", "--all"]);
    assert.ok(allocatedBytes(daemon.root) < used + (32 << 20));
  });
});

/** A file of xz whose one block says that it needs a dictionary of so many bits' size (xz file format, section 5.3.1). */
function withDictionary(file: Buffer, bits: number): Buffer {
  const changed = Buffer.from(file);
  const header = changed.subarray(12, 12 + (1 + (changed[12] ?? 0)) * 4);
  // The id of LZMA2 and the length of its one property come before it.
  const at = header.indexOf(Buffer.from([0x21, 0x01]));
  header[at + 2] = bits;
  header.writeUInt32LE(crc32(header.subarray(0, -4)), header.length - 4);
  return changed;
}
