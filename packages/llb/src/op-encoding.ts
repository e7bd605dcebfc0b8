import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { type Constraints, mergedMetadata, platformToProto } from "./constraints.ts";
import type { EncodeContext, EncodedVertex, Output } from "./vertex.ts";

/** An op's body, with what surrounds it on the wire. */
export interface OpParts {
  readonly op: MessageInitShape<typeof opspb.OpSchema>["op"];
  readonly inputs: readonly opspb.Input[];
  readonly constraints: Constraints;
  readonly caps: readonly string[];
  /** Whether the platform is part of the op; those that work alike everywhere leave it out. */
  readonly platformSpecific: boolean;
}

/** Gives an op its bytes, those that the Go client gives the same op, and with them its digest. */
export function encodeOp(context: EncodeContext, parts: OpParts): EncodedVertex {
  const { defaults } = context;
  const { constraints } = parts;
  const frame = create(opspb.OpSchema, {
    inputs: [...parts.inputs],
    ...(parts.platformSpecific && { platform: platformToProto(constraints.platform ?? defaults.platform) }),
    // Present even when empty.
    constraints: { filter: [...(defaults.workerFilter ?? []), ...(constraints.workerFilter ?? [])] },
  });
  const body = create(opspb.OpSchema, parts.op === undefined ? {} : { op: parts.op });
  // Go's encoder writes the members of a oneof after all other fields, whatever their numbers are.
  const bytes = Buffer.concat([toBinary(opspb.OpSchema, frame), toBinary(opspb.OpSchema, body)]);
  return {
    digest: digestOf(bytes),
    bytes,
    metadata: mergedMetadata(defaults, constraints, parts.caps),
    locations: constraints.locations ?? [],
  };
}

/**
 * A source op with its attributes in the order of their keys' bytes.
 *
 * protobuf-es writes a map in the order of the object's keys, which puts those that look like array indices first whatever
 * was inserted when. So the entries are written by hand, as fields that the message doesn't know.
 */
export function sourceOp(identifier: string, attrs: ReadonlyMap<string, string>): opspb.SourceOp {
  const message = create(opspb.SourceOpSchema, { identifier });
  const entries = [...attrs].toSorted(([a], [b]) => compareBytes(a, b));
  message.$unknown = entries.map(([key, value]) => {
    const entry = new BinaryWriter();
    entry.tag(1, WireType.LengthDelimited).string(key).tag(2, WireType.LengthDelimited).string(value);
    return { no: 2, wireType: WireType.LengthDelimited, data: new BinaryWriter().bytes(entry.finish()).finish() };
  });
  return message;
}

/** Orders texts by their UTF-8 bytes, as Go's `strings.Compare` does. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  // UTF-16 orders code units below the surrogates as UTF-8 orders their bytes.
  if (!beyondSurrogates.test(a) && !beyondSurrogates.test(b)) return a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

const beyondSurrogates = /[\ud800-\uffff]/;

/** The inputs of one op, each output once. */
export class InputList {
  readonly inputs: opspb.Input[] = [];
  readonly #indices = new Map<string, number>();
  readonly #context: EncodeContext;

  constructor(context: EncodeContext) {
    this.#context = context;
  }

  /** The index of the output among the inputs, -1 for scratch. */
  indexOf(output: Output | undefined): bigint {
    if (output === undefined) return -1n;
    const input = this.#context.input(output);
    const key = `${input.digest}@${input.index}`;
    const known = this.#indices.get(key);
    if (known !== undefined) return BigInt(known);
    const index = this.inputs.push(input) - 1;
    this.#indices.set(key, index);
    return BigInt(index);
  }
}

export function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
