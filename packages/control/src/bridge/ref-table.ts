import { BuildError } from "@buildkit-ts/errdefs";
import type { BridgeRef } from "./bridge-ref.ts";

/** More than any frontend asks for in one build: one that asks in a loop must not fill the daemon's memory. */
const maxRefs = 100_000;
const maxDefinitionBytes = 256 << 20;

/** The refs that one build gave to its frontends, by id; owns them until disposal. */
export class RefTable implements AsyncDisposable {
  readonly #refs = new Map<string, BridgeRef>();
  #definitionBytes = 0;

  /** @throws {BuildError} `resource_exhausted`, before there are too many of them. */
  checkRoom(): void {
    if (this.#refs.size >= maxRefs || this.#definitionBytes >= maxDefinitionBytes) {
      throw new BuildError(
        "resource_exhausted",
        `Cannot solve: this build has asked for ${this.#refs.size} results with ${this.#definitionBytes} bytes of definitions`,
      );
    }
  }

  add(ref: BridgeRef): void {
    this.#refs.set(ref.id, ref);
    this.#definitionBytes += ref.definition.def.reduce((sum, op) => sum + op.length, 0);
  }

  find(id: string): BridgeRef | undefined {
    return this.#refs.get(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const refs = [...this.#refs.values()];
    this.#refs.clear();
    await Promise.all(refs.map(async (ref) => await ref[Symbol.asyncDispose]()));
  }
}
