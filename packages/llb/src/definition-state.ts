import type { opspb } from "@buildkit-ts/api";
import type { Digest } from "@buildkit-ts/oci";
import { platformFromProto } from "./constraints.ts";
import { decodeDefinition } from "./decode-definition.ts";
import type { Definition } from "./definition.ts";
import { definitionFromProto } from "./definition-codec.ts";
import type { SourceLocation, SourceMap } from "./source-map.ts";
import { State } from "./state.ts";
import { type EncodedVertex, type LlbVertex, type Output, outputPlatform } from "./vertex.ts";

/**
 * The state that a definition describes, to build further upon it. Its ops keep their bytes, and so their digests.
 *
 * @throws {BuildError} `invalid_argument`, as {@linkcode decodeDefinition} does. An empty definition is scratch.
 */
export function stateFromDefinition(definition: Definition): State {
  if (definition.def.length === 0) return new State(undefined);
  const graph = decodeDefinition(definition);
  const locations = locationsByVertex(definition);
  const vertices = new Map<Digest, LlbVertex>();
  for (const op of graph.ops) {
    const inputs: Output[] = op.inputs.map(({ digest, index }) => {
      const vertex = vertices.get(digest);
      if (vertex === undefined) throw new TypeError("A definition's ops are not in dependency order");
      return { vertex, index };
    });
    const encoded: EncodedVertex = {
      digest: op.digest,
      bytes: op.bytes,
      metadata: op.metadata,
      locations: locations.get(op.digest) ?? [],
    };
    vertices.set(op.digest, { inputs, encode: () => encoded });
  }
  const vertex = vertices.get(graph.root.digest);
  if (vertex === undefined) return new State(undefined);
  const platform = platformFromProto(graph.opOf(graph.root.digest)?.op.platform);
  return new State({ vertex, index: graph.root.index, ...outputPlatform(platform) });
}

function locationsByVertex({ source }: Definition): Map<string, SourceLocation[]> {
  const maps: SourceMap[] = (source?.infos ?? []).map(({ filename, language, data, definition: origin }) => ({
    filename,
    language,
    data,
    ...(origin !== undefined && { definition: definitionFromProto(origin) }),
  }));
  const result = new Map<string, SourceLocation[]>();
  for (const [digest, { locations }] of Object.entries(source?.locations ?? {})) {
    result.set(
      digest,
      locations.flatMap(({ sourceIndex, ranges }) => {
        const map = maps[sourceIndex];
        if (map === undefined) return [];
        const position = (p: opspb.Position | undefined): { line: number; character: number } => ({
          line: p?.line ?? 0,
          character: p?.character ?? 0,
        });
        return [{ map, ranges: ranges.map((r) => ({ start: position(r.start), end: position(r.end) })) }];
      }),
    );
  }
  return result;
}
