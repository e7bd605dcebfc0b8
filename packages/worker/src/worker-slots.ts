import { FairSemaphore } from "@buildkit-ts/async";
import type { OpContext } from "@buildkit-ts/solver";

/** The builds' value that limits how many of its own steps run at a time, a {@linkcode FairSemaphore}. */
export const buildLimitKey = "max-parallelism";

const status = "waiting for other steps";

/**
 * Places for steps that do work: as many as `max-parallelism` says.
 *
 * Builds get places in turn, however many steps each of them has ready; what is cached needs none. A build may have a
 * limit of its own besides. A step that others wait for as well is held back only if all of them have a limit.
 */
export class WorkerSlots {
  readonly #places: FairSemaphore;

  /** @param maxParallelism 0 for no limit. */
  constructor(maxParallelism: number) {
    this.#places = new FairSemaphore(maxParallelism === 0 ? Number.POSITIVE_INFINITY : maxParallelism);
  }

  /** Waits for a place; who waits is shown. */
  async acquire(context: OpContext): Promise<Disposable> {
    const [owner = this] = context.values("job").filter((job) => typeof job === "object" && job !== null);
    const limit = limitOf(context);
    const { signal, progress } = context;
    const isFree = this.#places.isFree && limit?.isFree !== false;
    const started = Date.now();
    if (!isFree) progress.status({ id: status, started });
    using held = new DisposableStack();
    // The build's own place first: one that waits for it must not keep a place of the worker.
    if (limit !== undefined) held.use(await limit.acquire({ signal, owner }));
    held.use(await this.#places.acquire({ signal, owner }));
    if (!isFree) progress.status({ id: status, started, completed: Date.now() });
    return held.move();
  }
}

/** The limit that holds back a step; undefined, if some build that waits for it has none. */
function limitOf(context: OpContext): FairSemaphore | undefined {
  const limits = context.values(buildLimitKey).filter((value) => value instanceof FairSemaphore);
  if (limits.length < context.values("job").length) return undefined;
  return limits.find(({ isFree }) => isFree) ?? limits[0];
}
