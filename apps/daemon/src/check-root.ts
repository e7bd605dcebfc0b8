import { join } from "node:path";
import { checkCache, LocalCacheManager } from "@buildkit-ts/cache";
import { LocalContentStore } from "@buildkit-ts/content";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { unmountBelow } from "@buildkit-ts/mount";
import type { Logger } from "./logger.ts";
import { makeTemporaryDirectory, openSnapshotter } from "./open-stores.ts";
import { lockRoot } from "./root-lock.ts";
import type { Settings } from "./settings.ts";

const signal = new AbortController().signal;

/**
 * `buildkitd --fsck`: verifies a root that no daemon uses and repairs it. What is damaged goes, with all that is built on it;
 * builds make it again.
 *
 * @returns The exit code as of other checks of file systems: 0 if all was sound, 1 if something was not and is repaired.
 * @throws {BuildError} `failed_precondition`, while a daemon uses the root.
 */
export async function checkRoot(settings: Settings, logger: Logger): Promise<number> {
  const { root } = settings;
  const problems: string[] = [];
  const reporter = {
    report: (error: unknown, context: string): void => {
      problems.push(`${context}: ${error instanceof Error ? error.message : String(error)}`);
      logger.report(error, context);
    },
  };
  await using resources = new AsyncDisposableStack();
  resources.use(lockRoot(root));
  await makeTemporaryDirectory(root);
  await unmountBelow(join(root, "executor"));
  const database = resources.use(MetadataDatabase.open(join(root, "state.db"), { reporter }));
  const snapshotter = resources.use(await openSnapshotter(settings, { database, logger: reporter }));
  const content = await LocalContentStore.open(join(root, "content"));
  const codec = resources.use(new WorkerLayerCodec());
  const parts = { root, database, snapshotter, content, codec, reporter };
  const check = await checkCache(parts, { signal });
  // Opening it makes rows, snapshots and blobs agree again.
  const cache = resources.use(await LocalCacheManager.open(parts));
  const left = await cache.diskUsage({ signal });
  problems.push(...check.problems);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  process.stdout.write(
    `${root}: ${check.blobs} blobs and ${check.records} records checked, ${check.compared} compared with their layers; ` +
      `${problems.length} problems, ${check.records - left.length} records removed\n`,
  );
  return problems.length === 0 ? 0 : 1;
}
