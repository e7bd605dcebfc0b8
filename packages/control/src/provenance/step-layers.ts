import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import type { StepLayers } from "@buildkit-ts/provenance";
import {
  type CachedResult,
  type ExportedResult,
  exportChains,
  type FoundRecord,
  isRandom,
  type OpContext,
} from "@buildkit-ts/solver";
import type { BridgeRef } from "../bridge/bridge-ref.ts";

/**
 * The layers that the steps of a result left, as far as they were made into blobs: by step and output, such as `step2:0`.
 * Nothing is made for it.
 */
export async function findStepLayers(
  result: CachedResult,
  known: { readonly steps: Readonly<Record<string, string>>; readonly ref: BridgeRef },
  context: OpContext,
): Promise<StepLayers> {
  const found = new Map<string, Descriptor[][]>();
  // All keys of a result lead to the same steps.
  const keys = result.keys.filter(({ key }) => !isRandom(key.digest)).slice(0, 1);
  await exportChains<object, Descriptor[]>(keys, {
    mode: "max",
    exportRoots: true,
    ignoreBacklinks: true,
    signal: context.signal,
    resolve: async (record) => await blobsOf(record, known.ref, context),
    target: {
      add: (_digest, _deps, results) => {
        for (const one of results) addChain(found, known.steps[one.vertex], one);
        return {};
      },
    },
  });
  return Object.fromEntries([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function addChain(
  found: Map<string, Descriptor[][]>,
  step: string | undefined,
  { remote, output }: ExportedResult<Descriptor[]>,
): void {
  if (step === undefined) return;
  const id = `${step}:${output}`;
  const chains = found.get(id) ?? [];
  found.set(id, chains);
  const digests = (chain: readonly Descriptor[]): string => chain.map(({ digest }) => digest).join(" ");
  if (!chains.some((chain) => digests(chain) === digests(remote))) chains.push(remote);
}

async function blobsOf(
  { store, record }: FoundRecord,
  ref: BridgeRef,
  context: OpContext,
): Promise<Descriptor[] | undefined> {
  try {
    await using result = await store.load(record, context);
    return await ref.blobsOf(result, context);
  } catch (error) {
    // What is gone by now cannot be named; the statement goes on without it.
    if (BuildError.from(error).code === "not_found") return undefined;
    throw error;
  }
}
