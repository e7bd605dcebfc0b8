import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf, hostPlatform } from "@buildkit-ts/oci";
import { type MarshalOptions, mergeOpMetadata } from "./constraints.ts";
import type { Definition } from "./definition.ts";
import { invalid } from "./op-encoding.ts";
import { SourceMapCollector } from "./source-map.ts";
import type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";

/**
 * Bytes that a definition may have: twice what daemons take in one message.
 *
 * Every step holds its whole environment, so a small file of many variables and steps makes a huge graph.
 */
const maxDefinitionBytes = 32 << 20;

function tooLarge(): BuildError {
  return new BuildError("resource_exhausted", `Cannot marshal graph: it has more than ${maxDefinitionBytes} bytes`);
}

/** The definition of an output and all that it depends on; an empty one for scratch. */
export function marshal(output: Output | undefined, options: MarshalOptions = {}): Definition {
  const metadata = new Map<Digest, opspb.OpMetadata>();
  if (output === undefined) return { def: [], metadata, source: undefined };
  const encoded = new Map<LlbVertex, EncodedVertex>();
  const context = encodeContext(encoded, options);
  const def = new Map<Digest, Uint8Array>();
  const sources = new SourceMapCollector();
  let size = 0;
  for (const vertex of inDependencyOrder(output.vertex)) {
    const result = vertex.encode(context);
    encoded.set(vertex, result);
    if (result.metadata !== undefined) {
      metadata.set(result.digest, mergeOpMetadata(metadata.get(result.digest), result.metadata));
    }
    sources.add(result.digest, result.locations);
    if (def.has(result.digest)) continue;
    def.set(result.digest, result.bytes);
    size += result.bytes.length;
    if (size > maxDefinitionBytes) throw tooLarge();
  }
  const terminal = toBinary(opspb.OpSchema, create(opspb.OpSchema, { inputs: [context.input(output)] }));
  const caps = terminalCaps(metadata.values());
  metadata.set(digestOf(terminal), create(opspb.OpMetadataSchema, { caps }));
  return { def: [...def.values(), terminal], metadata, source: sources.toProto() };
}

function encodeContext(encoded: ReadonlyMap<LlbVertex, EncodedVertex>, options: MarshalOptions): EncodeContext {
  const defaults = {
    ...options,
    platform: options.platform ?? hostPlatform(),
    localUniqueId: options.localUniqueId ?? randomBytes(16).toString("hex"),
  };
  return {
    defaults,
    input: ({ vertex, index, unusable }) => {
      if (unusable !== undefined) throw invalid(unusable);
      const digest = encoded.get(vertex)?.digest;
      if (digest === undefined) throw new TypeError("An input was asked for before it was encoded");
      return create(opspb.InputSchema, { digest, index: BigInt(index) });
    },
  };
}

function terminalCaps(all: Iterable<opspb.OpMetadata>): Record<string, boolean> {
  const caps: Record<string, boolean> = { constraints: true, platform: true };
  for (const meta of all) {
    if (meta.ignoreCache) caps["meta.ignorecache"] = true;
    if (Object.keys(meta.description).length > 0) caps["meta.description"] = true;
    if (meta.exportCache !== undefined) caps["meta.exportcache"] = true;
  }
  return caps;
}

/** Every vertex once, inputs first. With a stack of its own: graphs may be deeper than the call stack. */
function* inDependencyOrder(root: LlbVertex): Generator<LlbVertex> {
  const entered = new Set<LlbVertex>([root]);
  const stack: { readonly vertex: LlbVertex; next: number }[] = [{ vertex: root, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.vertex.inputs[top.next];
    if (input === undefined) {
      stack.pop();
      yield top.vertex;
      continue;
    }
    top.next += 1;
    if (entered.has(input.vertex)) continue;
    entered.add(input.vertex);
    stack.push({ vertex: input.vertex, next: 0 });
  }
}
