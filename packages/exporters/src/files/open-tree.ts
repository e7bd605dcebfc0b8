import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountTemporarily } from "@buildkit-ts/mount";
import type { ExportContext } from "../exporter.ts";
import type { ResultTree } from "./tree-options.ts";

/** A tree where it can be read, until disposed. */
export interface OpenTree extends AsyncDisposable {
  readonly directory: string;
}

/** Mounts a result's tree for reading; no ref is an empty tree. */
export async function openTree(tree: ResultTree, context: ExportContext): Promise<OpenTree> {
  const { signal, progress } = context;
  if (tree.ref === undefined) {
    const directory = await mkdtemp(join(tmpdir(), "buildkit-empty-"));
    return { directory, [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true }) };
  }
  await using stack = new AsyncDisposableStack();
  const held = stack.use(await tree.ref.mount({ signal, progress, session: context.sessions() }));
  const mounted = stack.use(await mountTemporarily(held.mounts, { signal, onlyReads: true }));
  const owned = stack.move();
  return { directory: mounted.path, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}
