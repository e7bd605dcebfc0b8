import type { Digest } from "@buildkit-ts/oci";
import type { OpContext, Result, Vertex } from "./types.ts";

/**
 * What a step is known by, as people know it: `command`, `env FOO`, `copy source`…
 *
 * Values are fit to be kept and shown: whatever may be a secret is hidden already.
 */
export interface StepDescription {
  /** Steps of different kinds are never compared. */
  readonly kind: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** The files that a content key stands for, as directories by their digests: equal directories are kept once. */
export interface ContentListing {
  readonly root: Digest;
  /** How many there are. */
  readonly files: number;
  readonly directories: ReadonlyMap<Digest, Uint8Array>;
}

/** A file as it would be with other attributes. */
export interface FileQuestion {
  /** As the listing names it. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The file's digest in an earlier listing. */
  readonly digest: Digest;
}

/** Tells what the content key of an input's result is made of. */
export interface ContentDescriber {
  list(result: Result, context: OpContext): Promise<ContentListing>;
  /** Which of the files would have had the digest asked for with the attributes asked for: their bytes are the same. */
  withSameBytes(result: Result, files: readonly FileQuestion[], context: OpContext): Promise<readonly boolean[]>;
}

/** Why a step had to be executed. */
export type MissReason =
  | "never-seen"
  | "op-changed"
  | "input-changed"
  | "files-changed"
  | "pruned"
  | "lost"
  | "cache-disabled"
  | "not-cacheable";

/** Why one step was executed, compared with the nearest earlier record of the same step. */
export interface Explanation {
  readonly vertex: Digest;
  readonly name: string;
  /** Where the step is defined, such as `Dockerfile:7`. */
  readonly location: string | undefined;
  readonly reason: MissReason;
  /** What lies at the bottom: the reason of the first step that made this one execute. */
  readonly root: MissReason;
  /** For people, the most important line first. */
  readonly text: readonly string[];
  /** For programs, by reason. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** An input of a step that is executed. */
export interface MissedInput {
  readonly vertex: Vertex;
  /** Names of the keys, with selectors, that lead from the input to the step. Those of new keys come with their records. */
  links(): readonly string[];
  readonly content: Digest | undefined;
  /** Undefined where the input is known by its definition alone. */
  readonly list: (() => Promise<ContentListing>) | undefined;
  withSameBytes(files: readonly FileQuestion[]): Promise<readonly boolean[]>;
  /** Why the input was executed in this build; undefined if it was cached. */
  readonly explanation: Explanation | undefined;
}

/** A step that is executed, with all that its keys are made of. */
export interface MissedStep {
  readonly vertex: Vertex;
  /** Of the cache maps. */
  readonly digests: readonly Digest[];
  readonly description: StepDescription;
  readonly isPersistent: boolean;
  readonly inputs: readonly MissedInput[];
  /** Why a record that was found could not be used. */
  readonly loss: string | undefined;
  /** Of the builds that wait, as {@linkcode OpContext.values}. */
  values(key: string): readonly unknown[];
}

/**
 * Keeps what keys are made of, and says why a step is executed.
 *
 *     explain(step) ──▶ the step runs ──▶ record(step)
 */
export interface Explainer {
  explain(step: MissedStep): Promise<Explanation>;
  /** @param result The id of the result's record, in the main store. */
  record(step: MissedStep, result: string): Promise<void>;
}
