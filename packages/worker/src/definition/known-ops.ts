import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { LRUCache } from "lru-cache";
import { invalid } from "./validate-op.ts";

/** Of the marshalled ops; parsed, they take about ten times as much. */
const maxBytes = 2 << 20;
/** Larger ones, with files in them, are few and parsed again. */
const maxOpBytes = 16 << 10;
/** Of how many ops it is known that somebody asked for them. */
const maxSeen = 16_384;

/**
 * Ops that builds asked for lately, parsed. The same steps come with build after build, and what is made of an op (see
 * `fileCacheMap`) is remembered with the object.
 *
 * An op is kept when it comes a second time: those on a client's files are others in each build, as they name its session.
 * Nobody changes a known op: what a policy rewrites is parsed by {@linkcode parseOp} for that build alone.
 */
export class KnownOps {
  readonly #ops = new LRUCache<Digest, opspb.Op>({ maxSize: maxBytes, maxEntrySize: maxOpBytes });
  readonly #seen = new LRUCache<Digest, true>({ max: maxSeen });

  /** @throws {BuildError} `invalid_argument`, for bytes that are no op. */
  parse(digest: Digest, bytes: Uint8Array): opspb.Op {
    const known = this.#ops.get(digest);
    if (known !== undefined) return known;
    if (!this.#seen.has(digest)) {
      this.#seen.set(digest, true);
      return parseOp(bytes);
    }
    // Of bytes of its own: what is parsed refers to them, and they are a part of the whole request.
    const op = parseOp(bytes.slice());
    this.#ops.set(digest, op, { size: bytes.length + 1 });
    return op;
  }
}

/** An op of the caller's own. @throws {BuildError} `invalid_argument`, for bytes that are no op. */
export function parseOp(bytes: Uint8Array): opspb.Op {
  let op: opspb.Op;
  try {
    op = fromBinary(opspb.OpSchema, bytes);
  } catch (cause) {
    throw new BuildError("invalid_argument", "failed to parse llb proto op", { cause });
  }
  for (const [i, { index }] of op.inputs.entries()) {
    if (index < 0n || index > 2n ** 31n) throw invalid(`invalid input ${i} output index ${index}`);
  }
  return op;
}
