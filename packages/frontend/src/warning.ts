import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WarnRequestSchema } from "@buildkit-ts/api/buildkit/gateway";
import type { SourceRange } from "@buildkit-ts/errdefs";
import { definitionToProto, type SourceMap } from "@buildkit-ts/llb";
import type { Digest } from "@buildkit-ts/oci";

/** Something that the user should know of and that does not stop the build. */
export interface Warning {
  /** 1 is the usual one. */
  readonly level: number;
  /** One line. */
  readonly short: string;
  readonly detail: readonly string[];
  /** Where more is said. Empty if nowhere. */
  readonly url: string;
  readonly source?: SourceMap;
  readonly ranges: readonly SourceRange[];
}

/** The wire form of a warning. */
export function warningToProto(vertex: Digest, warning: Warning): MessageInitShape<typeof WarnRequestSchema> {
  const { level, short, detail, url, source, ranges } = warning;
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  return {
    digest: vertex,
    level: BigInt(level),
    short: encode(short),
    detail: detail.map(encode),
    url,
    ...(source !== undefined && {
      info: {
        filename: source.filename,
        language: source.language,
        data: source.data,
        ...(source.definition !== undefined && { definition: definitionToProto(source.definition) }),
      },
    }),
    ranges: ranges.map(({ start, end }) => ({ start, end })),
  };
}
