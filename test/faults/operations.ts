import { join } from "node:path";
import type { RunResult } from "../e2e/support/processes.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import type { FaultWorld } from "./fault-world.ts";

/** Something that a build does with a server. */
export interface Operation {
  readonly name: string;
  readonly proxy: (world: FaultWorld) => FaultProxy;
  /** Makes what the operation needs, before anything goes wrong. */
  readonly prepare?: (world: FaultWorld) => Promise<void>;
  readonly run: (world: FaultWorld) => Promise<RunResult>;
  /** Whether it has done what it should, and not merely ended. */
  readonly check: (world: FaultWorld, result: RunResult) => boolean;
}

const outputOf = (world: FaultWorld): string => join(world.folder, "output");
const toOutput = (world: FaultWorld): string => `--output=type=local,dest=${outputOf(world)}`;
const cacheReference = (world: FaultWorld): string => `${world.registry.host}/cache/it:latest`;
const cacheable = "FROM scratch\nCOPY <<EOF /fixed\nfixed\nEOF\n";

/** What a build does with registries, git servers and web servers. */
export const operations: readonly Operation[] = [
  {
    name: "pull",
    proxy: (world) => world.registry,
    run: async (world) =>
      await world.build(`FROM ${world.registry.host}/library/busybox:latest\nRUN echo pulled ${world.fresh("run")}\n`),
    check: (_world, { output }) => /pulled run-/.test(output),
  },
  {
    name: "push",
    proxy: (world) => world.registry,
    run: async (world) =>
      await world.build("FROM scratch\nCOPY file /\n", [
        `--output=type=image,push=true,name=${world.registry.host}/${world.fresh("pushed")}:v1`,
      ]),
    check: (_world, { output }) => /pushing manifest/.test(output),
  },
  {
    name: "cache export",
    proxy: (world) => world.registry,
    run: async (world) =>
      await world.build("FROM scratch\nCOPY file /\n", [
        `--export-cache=type=registry,mode=max,ref=${world.registry.host}/cache/${world.fresh("it")}:latest`,
      ]),
    check: (_world, { output }) => /writing cache image manifest|writing cache manifest/.test(output),
  },
  {
    name: "cache import",
    proxy: (world) => world.registry,
    prepare: async (world) => {
      await world.build(cacheable, [`--export-cache=type=registry,mode=max,ref=${cacheReference(world)}`]);
      await world.forget();
    },
    run: async (world) =>
      await world.build(cacheable, [`--import-cache=type=registry,ref=${cacheReference(world)}`, toOutput(world)]),
    check: (_world, { output }) => / CACHED/.test(output),
  },
  {
    name: "git",
    proxy: (world) => world.git,
    run: async (world) =>
      await world.build(`FROM scratch\nADD --keep-git-dir=false http://${world.git.host}/whole.git#main /\n`, [
        toOutput(world),
      ]),
    check: (_world, { output }) => /DONE/.test(output),
  },
  {
    name: "http",
    proxy: (world) => world.files,
    run: async (world) =>
      await world.build(`FROM scratch\nADD http://${world.files.host}/${world.fresh("file")} /file\n`, [
        toOutput(world),
      ]),
    check: (_world, { output }) => /DONE/.test(output),
  },
  {
    name: "context",
    proxy: (world) => world.files,
    run: async (world) =>
      await world.buildArchive(`http://${world.files.host}/${world.fresh("context")}.tar`, [toOutput(world)]),
    check: (_world, { output }) => /COPY file/.test(output),
  },
];
