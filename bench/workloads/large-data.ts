import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { checkLayerFile, checkTree } from "../checks.ts";
import { writeDockerfile, writeHalfRandomFile } from "../contexts.ts";
import type { LocalRegistry } from "../local-registry.ts";
import type { Contender, Workload } from "../workload.ts";

const largeFileBytes = 900 << 20;
const layers = 12;
const layerBytes = 42 << 20;

const formats = [
  { compression: "uncompressed", mediaType: "application/vnd.oci.image.layer.v1.tar" },
  { compression: "gzip", mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" },
  { compression: "zstd", mediaType: "application/vnd.oci.image.layer.v1.tar+zstd" },
] as const;

/** Workloads whose cost is that of moving, hashing and compressing bytes. */
export function largeDataWorkloads(registry: () => Promise<LocalRegistry>): Workload[] {
  return [contextWorkload(), ...formats.map((format) => exportWorkload(format)), pullWorkload(registry)];
}

function contextWorkload(): Workload {
  const folder = ({ directory }: Contender): string => join(directory, "large-context");
  const request = (contender: Contender): { readonly context: string; readonly dockerfile: string } => ({
    context: folder(contender),
    dockerfile: `${folder(contender)}-recipe`,
  });
  return {
    name: "900 MB file as context, and COPY of it",
    setup: async (contender): Promise<void> => {
      mkdirSync(folder(contender), { recursive: true });
      writeDockerfile(request(contender).dockerfile, "FROM scratch", "COPY large /");
    },
    prepare: async (contender, run): Promise<void> => {
      await contender.client.prune();
      writeHalfRandomFile(join(folder(contender), "large"), largeFileBytes, (Date.now() + run) % 250);
    },
    run: async (contender): Promise<void> => await contender.client.build(request(contender)),
    check: async (contender): Promise<void> => {
      await checkTree(contender, request(contender), folder(contender));
      rmSync(folder(contender), { recursive: true });
      await contender.client.prune();
    },
  };
}

function exportWorkload({ compression, mediaType }: (typeof formats)[number]): Workload {
  const folder = ({ directory }: Contender): string => join(directory, "large-file");
  const archive = ({ directory }: Contender): string => join(directory, `${compression}.tar`);
  return {
    name: `900 MB file to ${compression}`,
    setup: async (contender): Promise<void> => void writeDockerfile(folder(contender), "FROM scratch", "COPY large /"),
    // New bytes each time: neither the file nor its layer is known to the daemon.
    prepare: async (contender, run): Promise<void> =>
      writeHalfRandomFile(join(folder(contender), "large"), largeFileBytes, (Date.now() + run) % 250),
    run: async (contender): Promise<void> =>
      await contender.client.build({
        context: folder(contender),
        noCache: true,
        output: `type=oci,dest=${archive(contender)},compression=${compression},force-compression=true`,
      }),
    check: async (contender): Promise<void> => {
      await checkLayerFile(archive(contender), {
        mediaType,
        name: "large",
        original: join(folder(contender), "large"),
      });
      rmSync(archive(contender));
      rmSync(folder(contender), { recursive: true });
      await contender.client.prune();
    },
  };
}

function pullWorkload(registry: () => Promise<LocalRegistry>): Workload {
  const source = ({ directory }: Contender): string => join(directory, "pull-source");
  const recipe = ({ directory }: Contender): string => join(directory, "pull-recipe");
  return {
    name: `pull of 500 MB in ${layers} layers`,
    setup: async (contender): Promise<void> => {
      const image = `${(await registry()).host}/bench:latest`;
      const names = Array.from({ length: layers }, (_, layer) => `layer-${layer}`);
      mkdirSync(source(contender), { recursive: true });
      for (const [layer, name] of names.entries()) {
        writeHalfRandomFile(join(source(contender), name), layerBytes, layer);
      }
      writeDockerfile(`${source(contender)}-recipe`, "FROM scratch", ...names.map((name) => `COPY ${name} /`));
      await contender.client.build({
        context: source(contender),
        dockerfile: `${source(contender)}-recipe`,
        output: `type=image,name=${image},push=true`,
      });
      // Only a step that reads its base has it unpacked.
      writeDockerfile(recipe(contender), `FROM ${image} AS base`, "FROM scratch", "COPY --from=base / /");
    },
    prepare: async (contender): Promise<void> => await contender.client.prune(),
    run: async (contender): Promise<void> => await contender.client.build({ context: recipe(contender) }),
    check: async (contender): Promise<void> => {
      await checkTree(contender, { context: recipe(contender) }, source(contender));
      rmSync(source(contender), { recursive: true });
      await contender.client.prune();
    },
  };
}
