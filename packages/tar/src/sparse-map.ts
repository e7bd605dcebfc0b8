import { malformed } from "./malformed.ts";

/** Where a sparse file has bytes, in order: offset and length of each region, one after the other. All else are zeros. */
export type SparseMap = readonly number[];

/** As many numbers as a map may have: more than any file system's extents, and a few megabytes at most. */
export const maxMapNumbers: number = 1 << 18;

/**
 * The map itself, if it describes a file of this size of which so many bytes are stored.
 *
 * @throws {BuildError} `invalid_argument`, for regions that overlap, go backwards or lie outside, and for bytes that no
 * region claims or that are missing.
 */
export function checkSparseMap(map: SparseMap, file: { readonly size: number; readonly stored: number }): SparseMap {
  if (map.length > maxMapNumbers) throw malformed("a sparse file has too many regions");
  let end = 0;
  let stored = 0;
  for (let at = 0; at < map.length; at += 2) {
    const [offset = -1, length = -1] = map.slice(at, at + 2);
    const next = offset + length;
    if (offset < end || length < 0 || next > file.size)
      throw malformed("the regions of a sparse file overlap or lie outside");
    end = next;
    stored += length;
  }
  if (stored !== file.stored) throw malformed("the regions of a sparse file are not what is stored of it");
  return map;
}
