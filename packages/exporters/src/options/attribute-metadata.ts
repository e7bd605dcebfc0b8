import type { ExportInput } from "../exporter.ts";

/**
 * The result with the attributes that an output does not know as metadata, over those that the frontend gave: so a
 * client states `containerimage.config` for a graph that no frontend made.
 */
export function withAttributeMetadata(
  input: ExportInput,
  attributes: ReadonlyMap<string, string>,
  known: ReadonlySet<string>,
): ExportInput {
  const unknown = [...attributes].filter(([key]) => !known.has(key));
  if (unknown.length === 0) return input;
  const added = unknown.map(([key, value]) => [key, Buffer.from(value)] as const);
  return { ...input, metadata: new Map<string, Uint8Array>([...input.metadata, ...added]) };
}
