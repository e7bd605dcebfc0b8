import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { gitIn } from "../e2e/support/git-servers.ts";
import { type SolveOptions, solve } from "../e2e/support/solve.ts";
import type { FaultWorld } from "./fault-world.ts";
import { pushFreshImage } from "./fresh-image.ts";

const baseLayers = 6;
/** So many rounds fit into a disk before what they left is removed. */
const roundsBetweenPrunes = 10;

/**
 * Builds that nothing is cached for: each round makes an image, a commit and files that nobody has seen, builds of them,
 * pushes the result and its cache, and has another daemon take all of it from there.
 */
export class RandomBuilds implements AsyncDisposable {
  readonly #world: FaultWorld;
  readonly #importer: TestDaemon;
  #rounds = 0;
  /** Builds so far. */
  builds = 0;
  /** What did not succeed. */
  readonly failures: string[] = [];

  private constructor(world: FaultWorld, importer: TestDaemon) {
    this.#world = world;
    this.#importer = importer;
  }

  static async open(world: FaultWorld): Promise<RandomBuilds> {
    return new RandomBuilds(world, await TestDaemon.start(mkdtempSync(join(world.folder, "importer-"))));
  }

  async round(): Promise<void> {
    const world = this.#world;
    const id = world.fresh("round");
    const folder = mkdtempSync(join(world.folder, "random-"));
    try {
      const context = await this.#makeSources(folder, id);
      const directories = { context, dockerfile: context };
      const cache = { type: "registry", attributes: { ref: `${world.registry.host}/cache/${id}:v1`, mode: "max" } };
      const name = `${world.registry.host}/${id}:v1`;
      const exports = [{ type: "image", attributes: { name, push: "true" } }];
      await this.#build(world.daemon, id, { directories, exports, cacheExports: [cache] });
      const target = join(folder, "out");
      mkdirSync(target);
      const local = {
        type: "local",
        attributes: {},
        target: { kind: "directory", path: target, mirror: false },
      } as const;
      const imported = { directories, exports: [local], cacheImports: [cache] };
      if (await this.#build(this.#importer, id, imported)) this.#check(target, id);
      const archive = { context: `http://${world.files.host}/${id}.tar` };
      await this.#build(this.#importer, `${id}, archive`, { attributes: archive });
    } finally {
      rmSync(folder, { recursive: true });
    }
    this.#rounds += 1;
    if (this.#rounds % roundsBetweenPrunes === 0)
      for (const daemon of [world.daemon, this.#importer])
        await daemon.buildctlOk(["prune", "--all"], { timeoutMs: 600_000 });
  }

  async #makeSources(folder: string, id: string): Promise<string> {
    const world = this.#world;
    await pushFreshImage(world.upstreamHost, { name: `base/${id}`, layers: baseLayers });
    writeFileSync(join(world.repository, "in-git.txt"), id);
    gitIn(world.repository, "commit", "-q", "-a", "-m", id);
    gitIn(world.repository, "branch", id);
    const context = join(folder, "context");
    mkdirSync(context);
    writeFileSync(join(context, "file"), id);
    const files = `http://${world.files.host}/${id}`;
    const lines = [
      `FROM ${world.registry.host}/base/${id}:v1`,
      `ADD http://${world.git.host}/whole.git#${id} /git/`,
      ...["a", "b", "c"].map((name) => `ADD ${files}-${name} /http/${name}`),
      "COPY file /",
    ];
    writeFileSync(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
    return context;
  }

  async #build(daemon: TestDaemon, id: string, options: SolveOptions): Promise<boolean> {
    this.builds += 1;
    const signal = AbortSignal.timeout(240_000);
    const { error, warnings } = await solve(daemon, { frontend: "dockerfile.v0", signal, ...options });
    if (error === undefined) return true;
    const reason = error instanceof Error ? error.message : "";
    this.failures.push(`${id}: ${reason} ${warnings.join("; ")}`);
    return false;
  }

  #check(target: string, id: string): void {
    const read = (name: string): string => readFileSync(join(target, name), "utf8");
    assert.equal(read("file"), id);
    assert.equal(read("git/in-git.txt"), id);
    assert.equal(read("git/part/part.txt"), "of a submodule\n");
    for (const name of ["a", "b", "c"]) assert.ok(read(`http/${name}`).startsWith(`/${id}-${name} `));
    for (let layer = 0; layer < baseLayers; layer += 1)
      assert.equal(readFileSync(join(target, `layer-${layer}`)).length, 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#importer[Symbol.asyncDispose]();
  }
}
