import type { opspb } from "@buildkit-ts/api";
import type { CacheManager, HeldMounts, ImmutableRef } from "@buildkit-ts/cache";
import type { ContainerMount } from "@buildkit-ts/executor";
import type { Mount } from "@buildkit-ts/mount";
import type { SessionManager } from "@buildkit-ts/session";
import type { OpContext } from "@buildkit-ts/solver";
import type { CacheMountScope, CacheMounts } from "./cache-mounts.ts";
import { MountPreparation } from "./mount-preparation.ts";

/** What mounts of steps are made with. */
export interface MountDeps {
  readonly cache: Pick<CacheManager, "create">;
  readonly cacheMounts: CacheMounts;
  readonly sessions: Pick<SessionManager, "get">;
  /** The worker's own, for mount points. */
  readonly temporaryDirectory: string;
}

export interface MountRequest {
  readonly mounts: readonly opspb.Mount[];
  /** By input index. */
  readonly inputs: readonly (ImmutableRef | undefined)[];
  readonly cwd: string;
  /** What the step is called in descriptions of refs: `exec /bin/sh -c …`. */
  readonly name: string;
  readonly context: OpContext;
}

/**
 * A step's mounts and what becomes of them.
 *
 * Disposing gives back everything but the refs that {@linkcode commitOutputs} gave; call that only after the step has ended.
 */
export interface PreparedMounts extends AsyncDisposable {
  readonly root: readonly Mount[];
  readonly readonlyRoot: boolean;
  /** Sorted, so that parents come before children. */
  readonly mounts: readonly ContainerMount[];
  /** A way to read what each of the requested mounts holds, also while the step works; undefined for one that was left out. */
  readonly views: readonly (MountView | undefined)[];
  /** Ends all mounts and gives the outputs, in the order of the mounts that have one. */
  commitOutputs(): Promise<(ImmutableRef | undefined)[]>;
  /** Ends all mounts and gives, for each of the requested ones, the tree as a failed step left it; undefined for what is no tree. */
  commitFailed(): Promise<(ImmutableRef | undefined)[]>;
}

/** Opens a mount for reading. */
export type MountView = () => Promise<HeldMounts>;

/**
 * Makes everything that a step is to see.
 *
 * @param deps.scope What `lockCacheMounts()` gave for the same request; disposed with the mounts.
 * @throws {BuildError} `invalid_argument`, for mounts that make no sense.
 */
export async function prepareMounts(
  request: MountRequest,
  deps: MountDeps & { readonly scope: CacheMountScope },
): Promise<PreparedMounts> {
  await using stack = new AsyncDisposableStack();
  const preparation = stack.use(new MountPreparation(request, deps));
  for (const mount of request.mounts) await preparation.add(mount);
  const prepared = preparation.finish();
  stack.move();
  return prepared;
}
