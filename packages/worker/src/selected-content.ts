import type { Digest } from "@buildkit-ts/oci";
import type { CacheMapDependency, ContentDescriber, OpContext, Result } from "@buildkit-ts/solver";
import { createContentDescriber } from "./content-describer.ts";
import { type ContentCache, type ContentSelector, createContentDigest, unlazy } from "./content-selector.ts";

/**
 * A dependency on what selectors find in an input.
 *
 * A step that is found by its definition is never asked for the content, so the selectors are worked out by who asks.
 */
export class SelectedContent implements CacheMapDependency {
  readonly selector: Digest;
  readonly prepare: typeof unlazy = unlazy;
  readonly #cache: ContentCache;
  readonly #selectors: () => readonly ContentSelector[];

  constructor(selector: Digest, cache: ContentCache, selectors: () => readonly ContentSelector[]) {
    this.selector = selector;
    this.#cache = cache;
    this.#selectors = selectors;
  }

  get content(): ContentDescriber {
    return createContentDescriber(this.#cache, this.#selectors());
  }

  async computeContentDigest(result: Result, context: OpContext): Promise<Digest> {
    return await createContentDigest(this.#cache, this.#selectors())(result, context);
  }
}
