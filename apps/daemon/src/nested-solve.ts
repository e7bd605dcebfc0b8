import type { LoadOptions } from "@buildkit-ts/control";
import type { DeviceRegistry } from "@buildkit-ts/devices";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Job } from "@buildkit-ts/solver";
import { evaluateSourceKey, loadDefinition, type NestedSolve, proxyNetworkKey } from "@buildkit-ts/worker";

/** What an op's result describes is built within the build that waits for the op. */
export function createNestedSolve(devices: DeviceRegistry): NestedSolve {
  return async (definition, context) => {
    const [job] = context.values("job") as readonly Job[];
    if (job === undefined) throw new BuildError("internal", "Cannot build nested definition: no build waits for it");
    const [entitlements = new Set<string>()] = context.values("entitlements") as readonly ReadonlySet<string>[];
    // Every build that waits for the result has its say in what it is made of.
    const policies = (context.values(evaluateSourceKey) as readonly LoadOptions["evaluateSource"][]).filter(
      (evaluate) => evaluate !== undefined,
    );
    const edge = await loadDefinition(definition, {
      signal: context.signal,
      entitlements,
      devices,
      // One that may not reach the network by itself is enough.
      proxyNetwork: context.values(proxyNetworkKey).includes(true),
      ...(policies.length > 0 && {
        evaluateSource: async (op, options) => {
          let isChanged = false;
          for (const evaluate of policies) isChanged = (await evaluate(op, options)) || isChanged;
          return isChanged;
        },
      }),
    });
    return await job.build(edge, context);
  };
}
