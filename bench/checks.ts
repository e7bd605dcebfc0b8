import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { BuildRequest } from "./client.ts";
import { runCommand } from "./run-command.ts";
import type { Contender } from "./workload.ts";

/** Throws unless the build's result holds exactly the files of `expected`. */
export async function checkTree(contender: Contender, request: BuildRequest, expected: string): Promise<void> {
  const result = join(contender.directory, "checked");
  rmSync(result, { recursive: true, force: true });
  await contender.client.build({ ...request, output: `type=local,dest=${result}` });
  await runCommand("diff", ["--recursive", "--brief", "--no-dereference", result, expected]);
  rmSync(result, { recursive: true, force: true });
}

/** Throws unless the only layer of an OCI archive has the media type and holds `name` with the bytes of `original`. */
export async function checkLayerFile(
  archive: string,
  options: { readonly mediaType: string; readonly name: string; readonly original: string },
): Promise<void> {
  const read = async (path: string): Promise<unknown> => JSON.parse(await runCommand("tar", ["-xOf", archive, path]));
  const index = await read("index.json");
  const manifest = await read(blobPath(firstDescriptor(index, "manifests")));
  const layer = firstDescriptor(manifest, "layers");
  if (layer.mediaType !== options.mediaType) throw new Error(`${archive} has a layer of type ${layer.mediaType}`);
  const folder = `${archive}.checked`;
  mkdirSync(folder, { recursive: true });
  try {
    const blob = join(folder, "blob");
    await runCommand("tar", ["-xOf", archive, blobPath(layer)], { output: blob });
    await runCommand("tar", ["-xf", blob, "-C", folder, options.name]);
    const [found, expected] = await Promise.all([digestFile(join(folder, options.name)), digestFile(options.original)]);
    if (found !== expected) throw new Error(`${archive} holds another ${options.name}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface LayerDescriptor {
  readonly mediaType: string;
  readonly digest: string;
}

function firstDescriptor(value: unknown, key: string): LayerDescriptor {
  const list: unknown = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  if (typeof first !== "object" || first === null) throw new Error(`Cannot find ${key} in the archive`);
  return { mediaType: String(Reflect.get(first, "mediaType")), digest: String(Reflect.get(first, "digest")) };
}

function blobPath({ digest }: LayerDescriptor): string {
  return `blobs/${digest.replace(":", "/")}`;
}

async function digestFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
