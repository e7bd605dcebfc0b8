import type { Pipeline, RequestPolicyFactory } from "@azure/storage-blob";
import { nodeAgents } from "@buildkit-ts/proxies";
import type { azureSdk } from "./azure-sdk.ts";

/**
 * The oldest version of the service that has all that is used here. The SDK would name the newest, which emulators and
 * clouds of one's own refuse until they are updated.
 */
const serviceVersion = "2021-12-02";

const withServiceVersion: RequestPolicyFactory = {
  create: (next) => ({
    sendRequest: async (request) => {
      request.headers.set("x-ms-version", serviceVersion);
      return await next.sendRequest(request);
    },
  }),
};

const agents = nodeAgents({ timeout: 60_000 }, process.env);

/** Connections by the environment's proxies: those that the SDK makes itself know no SOCKS. */
const withAgent: RequestPolicyFactory = {
  create: (next) => ({
    sendRequest: async (request) => {
      request.agent = URL.parse(request.url)?.protocol === "http:" ? agents.http : agents.https;
      return await next.sendRequest(request);
    },
  }),
};

/** How requests are sent, signed and sent again. */
export function makeAzurePipeline(
  sdk: typeof azureSdk,
  credential: Parameters<typeof azureSdk.newPipeline>[0],
): Pipeline {
  const retryOptions = { maxTries: 5, tryTimeoutInMs: 300_000, retryDelayInMs: 1000, maxRetryDelayInMs: 30_000 };
  const pipeline = sdk.newPipeline(credential, { retryOptions });
  pipeline.factories.unshift(withServiceVersion, withAgent);
  return pipeline;
}
