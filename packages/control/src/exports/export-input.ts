import type { ExportInput } from "@buildkit-ts/exporters";
import { withStatus } from "@buildkit-ts/progress";
import type { OpContext } from "@buildkit-ts/solver";
import type { BridgeResult } from "../bridge/bridge-ref.ts";
import type { CacheExporter } from "../engine.ts";

/** A build's result as exporters take it: with the trees in place of what makes them. */
export async function exportInput(result: BridgeResult, signal: AbortSignal): Promise<ExportInput> {
  const trees = [...(result.refs ?? [])].map(async ([id, ref]) => [id, await ref?.tree({ signal })] as const);
  const attested = [...result.attestations].map(async ([id, all]) => {
    const loaded = all.map(async (one) => ({ ...one, ref: await one.ref?.tree({ signal }) }));
    return [id, await Promise.all(loaded)] as const;
  });
  return {
    ref: await result.ref?.tree({ signal }),
    refs: new Map(await Promise.all(trees)),
    metadata: result.metadata,
    attestations: new Map(await Promise.all(attested)),
  };
}

/** The input with the cache of each platform's result for whichever image it becomes. */
export function withInlineCache(
  input: ExportInput,
  cache: { readonly result: BridgeResult; readonly inline: CacheExporter; readonly context: OpContext },
): ExportInput {
  const { result, inline, context } = cache;
  return {
    ...input,
    inlineCache: async (platform, image, { signal, progress }) =>
      await withStatus(progress, "preparing layers for inline cache", async () => {
        const ref = result.refs === undefined ? result.ref : result.refs.get(platform);
        const cached = await ref?.result({ signal });
        return cached === undefined ? undefined : await inline.inline?.(cached, image, context);
      }),
  };
}
