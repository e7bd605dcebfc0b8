import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Mount, withMounts } from "@buildkit-ts/mount";
import type { Snapshotter } from "../snapshotter.ts";

const { signal } = new AbortController();

/** A tree as text: `dir/` for directories, the content of files, `-> target` for symbolic links. */
export type TreeText = Readonly<Record<string, string>>;

/** Commits a layer with these entries written and removed. */
export async function makeLayer(
  snapshots: Snapshotter,
  layer: {
    readonly name: string;
    readonly parent?: string;
    readonly write: TreeText;
    readonly remove?: readonly string[];
  },
): Promise<void> {
  const key = `active ${layer.name}`;
  await withMounts(await snapshots.prepare(key, layer.parent), { signal }, async (path) => {
    for (const name of layer.remove ?? []) rmSync(join(path, name), { recursive: true });
    for (const [name, content] of Object.entries(layer.write)) {
      if (name.endsWith("/")) mkdirSync(join(path, name), { recursive: true });
      else if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(path, name));
      else writeFileSync(join(path, name), content);
    }
  });
  await snapshots.commit(layer.name, key);
}

/** What a committed snapshot shows. */
export async function readSnapshot(snapshots: Snapshotter, name: string): Promise<TreeText> {
  const key = `view ${name}`;
  const mounts: Mount[] = await snapshots.view(key, name);
  try {
    return await withMounts(mounts, { signal }, async (path) => readTree(path));
  } finally {
    await snapshots.remove(key);
  }
}

function readTree(path: string): TreeText {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted()) {
    const stat = lstatSync(join(path, name));
    if (stat.isDirectory()) tree[`${name}/`] = "";
    else if (stat.isSymbolicLink()) tree[name] = `-> ${readlinkSync(join(path, name))}`;
    else tree[name] = readFileSync(join(path, name), "utf8");
  }
  return tree;
}
