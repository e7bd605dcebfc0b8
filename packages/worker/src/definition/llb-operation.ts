import type { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Platform } from "@buildkit-ts/oci";
import type { Vertex } from "@buildkit-ts/solver";

/** What a vertex of LLB holds as its `operation`. */
export class LlbOperation {
  readonly op: opspb.Op;
  /** Normalised; the worker's own where the op names none. */
  readonly platform: Platform;
  /** Limits for an exec op; they are no part of its identity. */
  readonly linuxResources: opspb.LinuxResources | undefined;
  /** Whether the op is an exec op whose network is a proxy; that is a part of its identity. */
  readonly isProxied: boolean;

  constructor(
    op: opspb.Op,
    platform: Platform,
    others: { readonly linuxResources?: opspb.LinuxResources | undefined; readonly isProxied?: boolean } = {},
  ) {
    this.op = op;
    this.platform = platform;
    this.linuxResources = others.linuxResources;
    this.isProxied = others.isProxied ?? false;
  }
}

/** @throws {BuildError} `internal`, for a vertex that was not made by `loadDefinition`. */
export function operationOf(vertex: Vertex): LlbOperation {
  if (vertex.operation instanceof LlbOperation) return vertex.operation;
  throw new BuildError("internal", `could not resolve ${vertex.name}: not an LLB vertex`);
}
