import type { Readable } from "node:stream";
import type { StoreOptions } from "../object-store.ts";

/** An entry of the cache service, and where its bytes can be read for a while. */
export interface CacheEntry {
  readonly key: string;
  /** Signed: whoever has it may read. */
  readonly url: string;
}

/** What becomes an entry. Ranges of it may be asked for again. */
export interface EntryContent {
  readonly size: number;
  read(range: { readonly offset: number; readonly size: number }, options: StoreOptions): Readable;
}

/** GitHub's cache service, by either version of its protocol. Entries never change. */
export interface CacheApi {
  /** The entry of this key; without one, the newest whose key begins with it. */
  find(key: string, options: StoreOptions): Promise<CacheEntry | undefined>;
  /** @throws {BuildError} `already_exists`, when somebody has this key, also if the entry is not complete yet. */
  save(key: string, content: EntryContent, options: StoreOptions): Promise<void>;
}

/** What the service calls a version: a name of how entries are packed. That of BuildKit and its kin. */
export const entryVersion = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
