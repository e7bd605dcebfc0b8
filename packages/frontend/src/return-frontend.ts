import { statusFromFailedBuild } from "@buildkit-ts/session/rpc";
import type { Frontend } from "./frontend.ts";
import { FrontendClient, type FrontendSetting } from "./frontend-client.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { resultToProto } from "./result-message.ts";

/** Runs a frontend and returns what it gives, or how it failed, to the daemon. @throws if the daemon cannot be told. */
export async function returnFrontend(
  frontend: Frontend,
  options: { readonly gateway: GatewayClient; readonly setting: FrontendSetting; readonly signal: AbortSignal },
): Promise<void> {
  const { gateway, setting, signal } = options;
  const client = await FrontendClient.open(gateway, setting, { signal });
  let result: ReturnType<typeof resultToProto>;
  try {
    result = resultToProto(await frontend(client, { signal }), client.frontendCapabilities);
  } catch (error) {
    signal.throwIfAborted();
    return await gateway.finish({ error: statusFromFailedBuild(error) }, { signal });
  }
  await gateway.finish({ result }, { signal });
}
