import { RootedDirectory } from "@buildkit-ts/sys";
import { walkChanges } from "./double-walk.ts";
import { LayerOutput, type LayerOutputOptions, type WrittenLayer } from "./layer-output.ts";
import { LayerWriter } from "./layer-writer.ts";
import { walkUpperChanges } from "./upper-walk.ts";

/** Trees to compare, all of them directories that can be read. */
export interface MakeLayerTask {
  readonly output: Omit<LayerOutputOptions, "checkAborted">;
  /** The lower tree as it is seen; undefined is empty. */
  readonly lower: string | undefined;
  /** The upper tree: an overlay upper directory, or the tree as it is seen. */
  readonly upper: { readonly path: string; readonly form: "overlay-upper" | "merged" };
  readonly latestSeconds?: number;
}

/**
 * Writes the changes between two trees as a layer blob, in one pass.
 *
 * @throws {UnsupportedUpperError} before anything useful is written, see {@linkcode walkUpperChanges}.
 */
export async function makeLayer(task: MakeLayerTask, checkAborted: () => void): Promise<WrittenLayer> {
  using output = new LayerOutput({ ...task.output, checkAborted });
  using source = RootedDirectory.open(task.upper.path);
  using lower = task.lower === undefined ? undefined : RootedDirectory.open(task.lower);
  const writer = new LayerWriter({
    source,
    output,
    ...(task.latestSeconds !== undefined && { latestSeconds: task.latestSeconds }),
  });
  const pair = { path: "", upper: source.fd, lower: lower?.fd };
  const changes =
    task.upper.form === "overlay-upper" ? walkUpperChanges(pair) : walkChanges({ ...pair, hasWhiteouts: false });
  for (const change of changes) {
    checkAborted();
    await writer.add(change);
  }
  return await writer.finish();
}
