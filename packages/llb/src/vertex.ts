import type { opspb } from "@buildkit-ts/api";
import { type Digest, normalizePlatform, type Platform } from "@buildkit-ts/oci";
import type { MarshalOptions } from "./constraints.ts";
import type { SourceLocation } from "./source-map.ts";

/** One output of an op under construction. Scratch has none: it is `undefined` wherever an output is optional. */
export interface Output {
  readonly vertex: LlbVertex;
  readonly index: number;
  /** The platform that later steps on this output run on, where it is known. */
  readonly platform?: Platform;
  /** Why the output cannot be used, such as that of a tmpfs mount. */
  readonly unusable?: string;
}

/** An op under construction. Its bytes depend on the defaults, so they are made once for each marshalling. */
export interface LlbVertex {
  /** In the order in which the definition lists what they depend on. */
  readonly inputs: readonly Output[];
  /** Asked after all inputs. */
  encode(context: EncodeContext): EncodedVertex;
}

export interface EncodeContext {
  readonly defaults: MarshalOptions & { readonly localUniqueId: string; readonly platform: Platform };
  /** @throws {BuildError} `invalid_argument`, if the output cannot be used. */
  input(output: Output): opspb.Input;
}

export interface EncodedVertex {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly metadata: opspb.OpMetadata | undefined;
  readonly locations: readonly SourceLocation[];
}

/** The platform as ops of a state carry it. */
export function outputPlatform(platform: Platform | undefined): { platform?: Platform } {
  return platform === undefined ? {} : { platform: normalizePlatform(platform) };
}
