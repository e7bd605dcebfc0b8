import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "@buildkit-ts/oci";
import type { Definition } from "./definition.ts";

/** The wire form of a definition; the arrays are shared, not copied. */
export function definitionToProto(definition: Definition): opspb.Definition {
  const message = create(opspb.DefinitionSchema, { def: [...definition.def] });
  for (const digest of [...definition.metadata.keys()].toSorted()) {
    const meta = definition.metadata.get(digest);
    if (meta !== undefined) message.metadata[digest] = meta;
  }
  if (definition.source !== undefined) message.Source = definition.source;
  return message;
}

/** A definition as received. Metadata under keys that are no digests belong to no op and are dropped. */
export function definitionFromProto(message: opspb.Definition): Definition {
  const metadata = new Map<Digest, opspb.OpMetadata>();
  for (const [digest, meta] of Object.entries(message.metadata)) if (isDigest(digest)) metadata.set(digest, meta);
  return { def: message.def, metadata, source: message.Source };
}

/** The bytes of `pb.Definition`, as `buildctl debug dump-llb` reads them. */
export function encodeDefinition(definition: Definition): Uint8Array<ArrayBuffer> {
  return toBinary(opspb.DefinitionSchema, definitionToProto(definition));
}

/** @throws {BuildError} `invalid_argument` if the bytes are no `pb.Definition`. */
export function parseDefinition(bytes: Uint8Array): Definition {
  try {
    return definitionFromProto(fromBinary(opspb.DefinitionSchema, bytes));
  } catch (cause) {
    throw new BuildError("invalid_argument", "failed to parse llb definition", { cause });
  }
}
