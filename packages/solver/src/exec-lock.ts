import type { Digest } from "@buildkit-ts/oci";
import { contentOutput } from "./root-key.ts";
import { SolverKey } from "./solver-key.ts";

/** Equal for vertices whose results are interchangeable: the op, and of each input its content or its key. */
export function execLock(
  keys: readonly SolverKey[],
  options: { readonly vertex: Digest; readonly store: string },
): string {
  const [key] = keys;
  if (key === undefined || key.deps.length === 0) return keys.map(({ digest }) => digest).join(" ");
  const inputs = key.deps.map((links) => {
    const content = links.find((link) => link.key.output === contentOutput);
    if (content !== undefined) return content.key.digest;
    const ids = links.flatMap(({ key: linked, selector }) => {
      const id = linked instanceof SolverKey ? linked.idIn(options.store) : undefined;
      return id === undefined ? [] : [`${id}+${selector ?? ""}`];
    });
    return ids[0] ?? options.vertex;
  });
  return [key.digest, ...inputs].join(" ");
}
