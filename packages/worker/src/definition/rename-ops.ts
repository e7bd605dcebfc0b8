import { toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import { invalid } from "./validate-op.ts";

/** An op of a definition, with what goes with it there. */
export interface LoadedOp {
  readonly op: opspb.Op;
  readonly metadata: opspb.OpMetadata | undefined;
}

interface ProxyOption {
  /** Whether steps that have a network have a proxy for it. */
  readonly proxyNetwork?: boolean;
}

/** Whether a step is held to a proxy: one without a network has nothing to be held to. */
export function isProxied({ op }: opspb.Op, { proxyNetwork }: ProxyOption): boolean {
  return proxyNetwork === true && op.case === "exec" && op.value.network !== opspb.NetMode.NONE;
}

/** Tells steps that are held to proxies from those that are not, for builds that run at the same time. As BuildKit has it. */
const proxiedSuffix = "\0buildkit.proxy-network.v0";

/** Gives ops their digests again after some were changed, those above the changed ones included. */
export function renameOps(
  ops: ReadonlyMap<string, LoadedOp>,
  options: ProxyOption,
): {
  readonly ops: Map<string, LoadedOp>;
  readonly names: ReadonlyMap<string, string>;
} {
  const renamed = new Map<string, string>();
  const result = new Map<string, LoadedOp>();
  for (const digest of inputsFirst(ops, [...ops.keys()])) {
    const loaded = ops.get(digest);
    if (loaded === undefined) continue;
    for (const input of loaded.op.inputs) input.digest = renamed.get(input.digest) ?? input.digest;
    const bytes = toBinary(opspb.OpSchema, loaded.op);
    const name = digestOf(isProxied(loaded.op, options) ? Buffer.concat([bytes, Buffer.from(proxiedSuffix)]) : bytes);
    renamed.set(digest, name);
    result.set(name, loaded);
  }
  return { ops: result, names: renamed };
}

/** Digests of the ops that the roots need, each after its inputs. Without recursion: a graph may be a chain of any length. */
export function inputsFirst(ops: ReadonlyMap<string, LoadedOp>, roots: readonly string[]): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const stack = roots.toReversed().map((digest) => ({ digest, expanded: false }));
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const { digest, expanded } = entry;
    if (expanded) {
      order.push(digest);
      continue;
    }
    if (seen.has(digest)) continue;
    seen.add(digest);
    const loaded = ops.get(digest);
    if (loaded === undefined) throw invalid(`invalid missing input digest ${digest.slice(0, 200)}`);
    stack.push({ digest, expanded: true });
    for (const input of loaded.op.inputs.toReversed()) stack.push({ digest: input.digest, expanded: false });
  }
  return order;
}
