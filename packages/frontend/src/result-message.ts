import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Ref, Result, ResultSchema } from "@buildkit-ts/api/buildkit/gateway";
import { definitionFromProto, definitionToProto } from "@buildkit-ts/llb";
import { attestationsFromProto, attestationsToProto } from "@buildkit-ts/provenance";
import type { FrontendResult } from "./frontend.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { Reference } from "./reference.ts";

/** A result as the daemon sends it, in any of the four forms that the protocol has had. */
export function resultFromProto(gateway: GatewayClient, message: Result): FrontendResult {
  const byId = (id: string): Reference | undefined => (id === "" ? undefined : new Reference(gateway, id, undefined));
  const byRef = ({ id, def }: Ref): Reference | undefined =>
    id === "" ? undefined : new Reference(gateway, id, def && definitionFromProto(def));
  const metadata = new Map(Object.entries(message.metadata));
  const attestations = attestationsFromProto(message.attestations, byRef);
  const none: FrontendResult = { ref: undefined, refs: new Map(), metadata, attestations };
  const { result } = message;
  switch (result.case) {
    case "ref":
      return { ...none, ref: byRef(result.value) };
    case "refDeprecated":
      return { ...none, ref: byId(result.value) };
    case "refs":
      return { ...none, refs: new Map(Object.entries(result.value.refs).map(([key, ref]) => [key, byRef(ref)])) };
    case "refsDeprecated":
      return { ...none, refs: new Map(Object.entries(result.value.refs).map(([key, id]) => [key, byId(id)])) };
    case undefined:
      return none;
  }
}

/** A result to return. Daemons that do not know refs with definitions get their ids. */
export function resultToProto(
  { ref, refs, metadata, attestations = new Map() }: FrontendResult,
  capabilities: ReadonlySet<string>,
): MessageInitShape<typeof ResultSchema> {
  const refMessage = (r: Reference | undefined): { id: string } => ({
    id: r?.id ?? "",
    ...(r?.definition !== undefined && { def: definitionToProto(r.definition) }),
  });
  const common = {
    metadata: Object.fromEntries(metadata),
    attestations: attestationsToProto(attestations, refMessage),
  };
  const entries = [...refs];
  if (capabilities.has("proto.refarray")) {
    if (entries.length === 0) return { ...common, result: { case: "ref", value: refMessage(ref) } };
    const value = { refs: Object.fromEntries(entries.map(([key, r]) => [key, refMessage(r)])) };
    return { ...common, result: { case: "refs", value } };
  }
  if (entries.length === 0) return { ...common, result: { case: "refDeprecated", value: ref?.id ?? "" } };
  const value = { refs: Object.fromEntries(entries.map(([key, r]) => [key, r?.id ?? ""])) };
  return { ...common, result: { case: "refsDeprecated", value } };
}
