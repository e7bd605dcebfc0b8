import { fromBinary, toJson } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { sortKeys } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import { convert } from "../convert/convert.ts";
import { encodeJson } from "../text/encode-json.ts";
import type { SubrequestContext } from "./answer-subrequest.ts";

/** The graph of a Dockerfile as JSON: ops, metadata and source locations. */
export async function convertToJson(context: SubrequestContext): Promise<Uint8Array> {
  const { state, marshalOptions } = await convert(context.data, context);
  const { def, metadata, source } = state.marshal(marshalOptions);
  const ops = def.map((bytes) => [digestOf(bytes), toJson(opspb.OpSchema, fromBinary(opspb.OpSchema, bytes))] as const);
  const meta = [...metadata].map(([digest, value]) => [digest, toJson(opspb.OpMetadataSchema, value)] as const);
  return encodeJson(
    {
      def: sortKeys(Object.fromEntries(ops)),
      metadata: sortKeys(Object.fromEntries(meta)),
      source: source === undefined ? null : toJson(opspb.SourceSchema, source),
    },
    2,
  );
}
