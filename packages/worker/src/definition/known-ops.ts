import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { LRUCache } from "lru-cache";
import { invalid } from "./validate-op.ts";

/** What the known ops take in memory, as estimated by {@linkcode weightOf}. */
const maxWeight = 48 << 20;
/** Larger ones, with files in them, are few and parsed again. */
const maxOpWeight = 32 << 10;
/** Of how many ops it is known that somebody asked for them. */
const maxSeen = 16_384;

/**
 * Ops that builds asked for lately, parsed: those that only put trees together, of which a large graph is made. Such a step
 * comes with build after build unless it uses a client's files, whose source names the session. What is made of an op (see
 * `fileCacheMap`) is remembered with the object.
 *
 * An op is kept when it comes a second time. Nobody changes a known op: what a policy rewrites is parsed by
 * {@linkcode parseOp} for that build alone.
 */
export class KnownOps {
  readonly #ops = new LRUCache<Digest, opspb.Op>({ maxSize: maxWeight, maxEntrySize: maxOpWeight });
  readonly #seen = new LRUCache<Digest, true>({ max: maxSeen });

  /** @throws {BuildError} `invalid_argument`, for bytes that are no op. */
  parse(digest: Digest, bytes: Uint8Array): opspb.Op {
    const known = this.#ops.get(digest);
    if (known !== undefined) return known;
    const isSeen = this.#seen.has(digest);
    this.#seen.set(digest, true);
    // Of bytes of its own: what is parsed refers to them, and they are a part of the whole request.
    const op = parseOp(isSeen ? bytes.slice() : bytes);
    const weight = isSeen ? weightOf(op, bytes) : undefined;
    if (weight !== undefined) this.#ops.set(digest, op, { size: weight });
    return op;
  }
}

/** About how many bytes of memory the op takes, and not much less. Undefined for ops that are not to be kept. */
function weightOf({ op, inputs }: opspb.Op, bytes: Uint8Array): number | undefined {
  const parts = partsOf(op);
  // A message of 2 bytes is an object; an action has objects of its own, and its part in what is remembered with the op.
  return parts === undefined ? undefined : 1024 + 8 * bytes.length + 160 * inputs.length + parts;
}

function partsOf(op: opspb.Op["op"]): number | undefined {
  if (op.case === "file") return 1024 * op.value.actions.length;
  if (op.case === "merge") return 160 * op.value.inputs.length;
  return op.case === "diff" ? 320 : undefined;
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
