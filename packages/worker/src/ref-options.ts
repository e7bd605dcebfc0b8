import type { RefOptions } from "@buildkit-ts/cache";
import type { OpContext } from "@buildkit-ts/solver";

/** How refs are used for the builds that wait for an op: with their sessions, reporting to them. */
export function refOptions(context: OpContext): RefOptions {
  return { signal: context.signal, progress: context.progress, session: context.sessions() };
}
