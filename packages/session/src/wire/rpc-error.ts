import { BuildError, type BuildErrorOptions, type Code } from "@buildkit-ts/errdefs";

/** One typed detail of a remote failure; BuildKit's values are JSON. */
export interface RpcErrorDetail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** A failure that the other side of a call reported. */
export class RpcError extends BuildError {
  override readonly name = "RpcError";
  readonly details: readonly RpcErrorDetail[];

  constructor(
    code: Code,
    message: string,
    options: BuildErrorOptions & { readonly details?: readonly RpcErrorDetail[] } = {},
  ) {
    super(code, message, options);
    this.details = options.details ?? [];
  }
}
