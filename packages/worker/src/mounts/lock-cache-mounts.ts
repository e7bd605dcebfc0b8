import { opspb } from "@buildkit-ts/api";
import { invalid } from "../definition/validate-op.ts";
import { refOptions } from "../ref-options.ts";
import { type CacheMountRequest, type CacheMountScope, mountKey } from "./cache-mounts.ts";
import { inputOf, sharingOf } from "./mount-options.ts";
import type { MountDeps, MountRequest } from "./prepare-mounts.ts";

/**
 * Takes the directories of a step that it must have for itself, and waits for them; a scope of its own without any other.
 *
 * In the order of their keys, whatever the order of the mounts: of two steps that lock the same two directories, none may
 * have what the other one waits for. And before a step takes anything else that others wait for, such as a place to run.
 */
export async function lockCacheMounts(
  request: MountRequest,
  deps: Pick<MountDeps, "cacheMounts">,
): Promise<CacheMountScope> {
  await using stack = new AsyncDisposableStack();
  const scope = stack.use(deps.cacheMounts.createScope());
  const wanted = request.mounts
    .filter(({ mountType }) => mountType === opspb.MountType.CACHE)
    .map((mount) => cacheMountRequest(mount, request))
    .filter((one) => one.sharing === "locked")
    .toSorted((a, b) => (mountKey(a) < mountKey(b) ? -1 : 1));
  for (const one of wanted) await scope.mount(one);
  stack.move();
  return scope;
}

/** What a step asks of the cache directories for one of its mounts. @throws {BuildError} `invalid_argument`. */
export function cacheMountRequest(mount: opspb.Mount, request: MountRequest): CacheMountRequest {
  if (mount.cacheOpt === undefined) throw invalid("missing cache mount options");
  const { ID: id, sharing } = mount.cacheOpt;
  const suffix = id === mount.dest ? "" : ` with id ${JSON.stringify(id)}`;
  return {
    id,
    sharing: sharingOf(sharing),
    base: inputOf(mount, request.inputs),
    description: `cached mount ${mount.dest} from ${request.name}${suffix}`,
    ...refOptions(request.context),
  };
}
