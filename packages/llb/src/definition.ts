import type { opspb } from "@buildkit-ts/api";
import type { Digest } from "@buildkit-ts/oci";

/** A marshalled graph as it goes over the wire (`pb.Definition`): each op's bytes as they are, the last one terminal. */
export interface Definition {
  readonly def: readonly Uint8Array[];
  readonly metadata: ReadonlyMap<Digest, opspb.OpMetadata>;
  readonly source: opspb.Source | undefined;
}
