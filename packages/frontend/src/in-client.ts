import { create } from "@bufbuild/protobuf";
import { type Result, ResultSchema } from "@buildkit-ts/api/buildkit/gateway";
import type { Frontend } from "./frontend.ts";
import { FrontendClient } from "./frontend-client.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { resultToProto } from "./result-message.ts";

/** What the client's `build` hands to its `run`. */
export interface InClientOptions {
  readonly signal: AbortSignal;
  readonly sessionId: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * A frontend as the function that the client's `build` takes as `run`: it then runs in the client's own process, with the
 * attributes of the request as its options.
 */
export function inClient(frontend: Frontend): (gateway: GatewayClient, options: InClientOptions) => Promise<Result> {
  return async (gateway, { signal, sessionId, attributes }) => {
    const setting = { options: attributes, sessionId, product: "" };
    const client = await FrontendClient.open(gateway, setting, { signal });
    const result = await frontend(client, { signal });
    return create(ResultSchema, resultToProto(result, client.frontendCapabilities));
  };
}
