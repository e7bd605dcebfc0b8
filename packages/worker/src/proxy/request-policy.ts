import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { StepProxy } from "@buildkit-ts/network";
import type { OpContext } from "@buildkit-ts/solver";
import type { LoadOptions } from "../definition/load-definition.ts";

/** The key by which a build's job has what its policy makes of sources. */
export const evaluateSourceKey = "evaluateSource";

/** The key by which a build's job has `true`, if its steps are held to proxies. */
export const proxyNetworkKey = "proxyNetwork";

/**
 * What the builds that wait for a step allow it to fetch: each request of the step is to their policies what an HTTP source is.
 * Of a request only the URL can be changed, and only if it asks for nothing but what is there.
 */
export function requestCheck(context: Pick<OpContext, "values">): NonNullable<StepProxy["check"]> {
  return async ({ method, url }, options) => {
    let target = url;
    for (const evaluate of context.values(evaluateSourceKey) as readonly LoadOptions["evaluateSource"][]) {
      const source = create(opspb.SourceOpSchema, { identifier: target });
      await evaluate?.(create(opspb.OpSchema, { op: { case: "source", value: source } }), options);
      if (Object.keys(source.attrs).length > 0) throw refused(target, "proxy conversion only supports URL updates");
      target = source.identifier;
    }
    if (target === url) return undefined;
    if (method !== "GET") throw refused(url, "conversion is only supported for GET");
    if (!/^https?:$/.test(URL.parse(target)?.protocol ?? "")) throw refused(url, "the new URL is not one of HTTP");
    return target;
  };
}

function refused(url: string, why: string): BuildError {
  return new BuildError("permission_denied", `source policy converted proxy request ${JSON.stringify(url)}: ${why}`);
}
