import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { SourceRange } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { Definition } from "./definition.ts";
import { definitionToProto } from "./definition-codec.ts";

/** A file that ops were made from. Keep one instance for one file: locations refer to it. */
export interface SourceMap {
  readonly filename: string;
  /** A name of GitHub's linguist, such as `Dockerfile`. */
  readonly language: string;
  readonly data: Uint8Array;
  /** The graph that gives the file, if it does not come from the client. */
  readonly definition?: Definition;
}

/** Where in a file an op comes from. */
export interface SourceLocation {
  readonly map: SourceMap;
  readonly ranges: readonly SourceRange[];
}

/** Collects the locations of all ops of a definition, each file once. */
export class SourceMapCollector {
  readonly #index = new Map<SourceMap, number>();
  readonly #infos: SourceMap[] = [];
  readonly #locations = new Map<Digest, SourceLocation[]>();

  add(vertex: Digest, locations: readonly SourceLocation[]): void {
    if (locations.length === 0) return;
    for (const { map } of locations) this.#indexOf(map);
    const known = this.#locations.get(vertex);
    if (known === undefined) this.#locations.set(vertex, [...locations]);
    else known.push(...locations);
  }

  toProto(): opspb.Source {
    const source = create(opspb.SourceSchema);
    for (const info of this.#infos) {
      source.infos.push(
        create(opspb.SourceInfoSchema, {
          filename: info.filename,
          language: info.language,
          data: info.data,
          ...(info.definition !== undefined && { definition: definitionToProto(info.definition) }),
        }),
      );
    }
    for (const [vertex, locations] of this.#locations) {
      source.locations[vertex] = create(opspb.LocationsSchema, {
        locations: locations.map((location) =>
          create(opspb.LocationSchema, {
            sourceIndex: this.#indexOf(location.map),
            ranges: location.ranges.map((range) => create(opspb.RangeSchema, range)),
          }),
        ),
      });
    }
    return source;
  }

  #indexOf(map: SourceMap): number {
    const known = this.#index.get(map);
    if (known !== undefined) return known;
    let index = this.#infos.findIndex((other) => sameFile(other, map));
    if (index < 0) index = this.#infos.push(map) - 1;
    this.#index.set(map, index);
    return index;
  }
}

function sameFile(a: SourceMap, b: SourceMap): boolean {
  return a.filename === b.filename && a.language === b.language && Buffer.compare(a.data, b.data) === 0;
}
