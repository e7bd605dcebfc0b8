import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf, isDigest } from "@buildkit-ts/oci";
import type { Definition } from "./definition.ts";
import { opName } from "./op-name.ts";
import { validateOp } from "./validate-op.ts";

/** An op of a decoded definition. */
export interface DecodedOp {
  /** SHA-256 of the bytes as they were received. */
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly op: opspb.Op;
  readonly inputs: readonly DecodedInput[];
  readonly metadata: opspb.OpMetadata | undefined;
  /** `description["llb.customname"]`, or what the op does. */
  readonly name: string;
}

export interface DecodedInput {
  readonly digest: Digest;
  readonly index: number;
}

/** A definition that was found to be a graph: every input is an op of it, nothing goes in circles. */
export interface DecodedDefinition {
  /** What the definition asks for. */
  readonly root: DecodedInput;
  /** All ops that the root needs, inputs before those that use them. */
  readonly ops: readonly DecodedOp[];
  opOf(digest: Digest): DecodedOp | undefined;
}

/** Limits of what is read; each far beyond what real builds need. */
const maxOps = 200_000;
const maxInputs = 1_000_000;

/**
 * Reads a definition that a client sent. Ops that the root does not need are parsed but not validated, as in BuildKit.
 *
 * @throws {BuildError} `invalid_argument`, with BuildKit's texts.
 */
export function decodeDefinition(definition: Definition): DecodedDefinition {
  const { def } = definition;
  if (def.length === 0) throw invalid("invalid empty definition");
  if (def.length > maxOps) throw invalid(`invalid LLB with ${def.length} vertexes: more than ${maxOps}`);
  const raw = parseOps(def);
  if (raw.size < 2) throw invalid(`invalid LLB with ${raw.size} vertexes`);
  const last = def.at(-1);
  const lastDigest = last === undefined ? undefined : digestOf(last);
  const [head] = (lastDigest === undefined ? undefined : raw.get(lastDigest))?.inputs ?? [];
  if (lastDigest === undefined || head === undefined) throw invalid("invalid LLB with no inputs on last vertex");
  // The terminal op names the result and is nothing that could be an input.
  raw.delete(lastDigest);
  const ops = new Map<Digest, DecodedOp>();
  for (const item of inDependencyOrder(raw, head.digest)) ops.set(item.digest, decodeOp(item, definition, ops));
  return { root: head, ops: [...ops.values()], opOf: (digest) => ops.get(digest) };
}

interface RawOp {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly op: opspb.Op;
  readonly inputs: readonly DecodedInput[];
}

function parseOps(def: readonly Uint8Array[]): Map<Digest, RawOp> {
  const raw = new Map<Digest, RawOp>();
  let inputs = 0;
  for (const bytes of def) {
    const digest = digestOf(bytes);
    if (raw.has(digest)) continue;
    const op = parseOp(bytes);
    inputs += op.inputs.length;
    if (inputs > maxInputs) throw invalid(`invalid LLB with more than ${maxInputs} inputs`);
    raw.set(digest, { digest, bytes, op, inputs: op.inputs.map(decodeInput) });
  }
  return raw;
}

function parseOp(bytes: Uint8Array): opspb.Op {
  try {
    return fromBinary(opspb.OpSchema, bytes);
  } catch (cause) {
    throw new BuildError("invalid_argument", "failed to parse llb proto op", { cause });
  }
}

function decodeInput(input: opspb.Input, position: number): DecodedInput {
  if (input.index < 0n) throw invalid(`invalid input ${position} output index ${input.index}`);
  // An exec has an output for a mount at most; anything beyond cannot be satisfied and would only lose precision.
  if (input.index > 0x7fffffffn) throw invalid(`invalid input ${position} output index ${input.index}`);
  if (!isDigest(input.digest)) throw invalid(`invalid missing input digest ${input.digest.slice(0, 200)}`);
  return { digest: input.digest, index: Number(input.index) };
}

function decodeOp({ digest, bytes, op, inputs }: RawOp, definition: Definition, known: OpNames): DecodedOp {
  validateOp(op);
  const metadata = definition.metadata.get(digest);
  const customName = Object.hasOwn(metadata?.description ?? {}, "llb.customname")
    ? metadata?.description["llb.customname"]
    : undefined;
  const nameOfInput = (i: number): string | undefined => known.get(inputs[i]?.digest ?? ("" as Digest))?.name;
  return { digest, bytes, op, inputs, metadata, name: customName ?? opName(op, nameOfInput) };
}

type OpNames = ReadonlyMap<Digest, { readonly name: string }>;

/** Inputs first. With a stack of its own: a hostile graph may be deeper than the call stack. */
function* inDependencyOrder(raw: ReadonlyMap<Digest, RawOp>, root: Digest): Generator<RawOp> {
  const get = (digest: Digest): RawOp => {
    const found = raw.get(digest);
    if (found === undefined) throw invalid(`invalid missing input digest ${digest}`);
    return found;
  };
  const state = new Map<Digest, "open" | "done">([[root, "open"]]);
  const stack: { readonly item: RawOp; next: number }[] = [{ item: get(root), next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.item.inputs[top.next];
    if (input === undefined) {
      stack.pop();
      state.set(top.item.digest, "done");
      yield top.item;
      continue;
    }
    top.next += 1;
    const known = state.get(input.digest);
    // A circle would need a SHA-256 collision; if one comes, it must not hang the daemon.
    if (known === "open") throw invalid(`invalid looping input digest ${input.digest}`);
    if (known === "done") continue;
    state.set(input.digest, "open");
    stack.push({ item: get(input.digest), next: 0 });
  }
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
