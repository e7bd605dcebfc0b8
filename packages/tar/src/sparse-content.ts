import type { SparseMap } from "./sparse-map.ts";
import type { TarVisitor } from "./tar-decoder.ts";

/** Hands out what is stored of a sparse file, with the holes between. */
export class SparseContent {
  readonly #map: SparseMap;
  readonly #size: number;
  readonly #visitor: TarVisitor;
  #index = 0;
  #position = 0;

  /** @param map Checked. */
  constructor(map: SparseMap, size: number, visitor: TarVisitor) {
    this.#map = map;
    this.#size = size;
    this.#visitor = visitor;
  }

  data(stored: Uint8Array): void {
    for (let rest = stored; rest.length > 0; ) {
      const [offset = this.#size, length = 0] = this.#map.slice(this.#index, this.#index + 2);
      this.#skipTo(offset);
      const part = rest.subarray(0, offset + length - this.#position);
      if (part.length > 0) this.#visitor.data(part);
      this.#position += part.length;
      rest = rest.subarray(part.length);
      if (this.#position === offset + length) this.#index += 2;
    }
  }

  /** The hole after the last byte. */
  finish(): void {
    this.#skipTo(this.#size);
  }

  #skipTo(offset: number): void {
    if (offset <= this.#position) return;
    this.#visitor.hole(offset - this.#position);
    this.#position = offset;
  }
}
