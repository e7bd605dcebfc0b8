import { decodeBytes } from "./byte-text.ts";
import { decimalOf, numberOf } from "./header-fields.ts";
import { malformed } from "./malformed.ts";
import type { PaxRecords } from "./pax-records.ts";
import { maxMapNumbers } from "./sparse-map.ts";
import { tarBlockSize } from "./tar-header.ts";

/** How a header says that its entry is sparse, and where the rest of the map stands. */
export interface SparseHeader {
  /** Of the whole file with its holes; that of the entry if undefined. */
  readonly size: number | undefined;
  readonly name: string | undefined;
  /** As far as it is known. */
  readonly map: number[];
  /** Nowhere else, in more blocks before the content, or in the first blocks of the content. */
  readonly rest: "none" | "blocks" | "content";
}

const numberWidth = 12;

/** What GNU tar before pax says, in the header itself: four regions, then blocks of 21. */
export function decodeGnuSparse(block: Buffer): SparseHeader {
  if (block.toString("latin1", 257, 265) !== "ustar  \0") throw malformed("a sparse file is of no known format");
  const map: number[] = [];
  addRegions(map, block.subarray(386, 386 + 4 * 2 * numberWidth));
  const size = numberOf(block.subarray(483, 483 + numberWidth));
  return { size, name: undefined, map, rest: block[482] === 0 ? "none" : "blocks" };
}

/** Adds the regions of a further block. @returns Whether another one follows. */
export function addSparseBlock(map: number[], block: Buffer): boolean {
  addRegions(map, block.subarray(0, 21 * 2 * numberWidth));
  if (map.length > maxMapNumbers) throw malformed("a sparse file has too many regions");
  return block[504] !== 0;
}

function addRegions(map: number[], table: Buffer): void {
  for (let at = 0; at < table.length && table[at] !== 0; at += 2 * numberWidth)
    map.push(
      numberOf(table.subarray(at, at + numberWidth)),
      numberOf(table.subarray(at + numberWidth, at + 2 * numberWidth)),
    );
}

/** What the pax records of GNU tar say, in any of their three versions; undefined for an entry that is not sparse. */
export function decodePaxSparse(pax: PaxRecords): SparseHeader | undefined {
  const text = (key: string): string => pax.get(`GNU.sparse.${key}`)?.toString("latin1") ?? "";
  const version = `${text("major")}.${text("minor")}`;
  const isNumbered = version === "0.0" || version === "0.1" || version === "1.0";
  // The first versions do not name themselves; one that nobody knows describes an ordinary file.
  if (!isNumbered && (version !== "." || text("map") === "")) return undefined;
  const size = text("size") || text("realsize");
  const common = {
    size: size === "" ? undefined : decimalOf(size, "GNU.sparse.size"),
    name: decodeBytes(pax.get("GNU.sparse.name") ?? Buffer.alloc(0)) || undefined,
  };
  if (version === "1.0") return { ...common, map: [], rest: "content" };
  return { ...common, map: listedMap(text("map"), text("numblocks")), rest: "none" };
}

function listedMap(list: string, count: string): number[] {
  const map = list === "" ? [] : list.split(",").map((number) => decimalOf(number, "GNU.sparse.map"));
  if (map.length !== 2 * decimalOf(count, "GNU.sparse.numblocks"))
    throw malformed("the map of a sparse file has not as many regions as it says");
  return map;
}

/**
 * The map that stands before the content (version 1.0): how many regions there are, then their numbers, each on a line,
 * up to the end of a block.
 */
export class SparseMapText {
  readonly #map: number[];
  #line = "";
  #expected: number | undefined;

  constructor(map: number[]) {
    this.#map = map;
  }

  /** @returns Whether the map is complete; then the content begins with the next block. */
  add(block: Buffer): boolean {
    const lines = (this.#line + block.toString("latin1", 0, tarBlockSize)).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      if (this.#map.length === this.#expected) break;
      const number = decimalOf(line, "GNU.sparse.map");
      if (this.#expected !== undefined) this.#map.push(number);
      else {
        this.#expected = 2 * number;
        if (number < 0 || this.#expected > maxMapNumbers) throw malformed("a sparse file has too many regions");
      }
    }
    const isComplete = this.#map.length === this.#expected;
    if (!isComplete && this.#line.length >= tarBlockSize)
      throw malformed("the map of a sparse file is no list of numbers");
    return isComplete;
  }
}
