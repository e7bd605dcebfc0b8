import {
  describeRequest as describe,
  isSameRequest,
  type Materials,
  type RequestProvenance,
} from "@buildkit-ts/provenance";
import { contextFormat } from "./context-format.ts";
import type { RequestRegistry } from "./request-registry.ts";
import type { RequestTrace, TracedRequest } from "./request-trace.ts";

/** What the provenance of a result says of the request that led to it; undefined where a client solved by itself. */
export function describeTracedRequest(
  { request, root }: RequestTrace,
  known: { readonly materials: () => Materials; readonly registry: RequestRegistry },
): RequestProvenance | undefined {
  if (request === undefined) return undefined;
  const described = describeWithInputs(request, known);
  const describedRoot = root === undefined ? undefined : describeWithInputs(root, known);
  if (describedRoot === undefined || isNothing(describedRoot) || isSameRequest(describedRoot, described))
    return described;
  return { ...described, request: { ...described.request, root: describedRoot } };
}

function describeWithInputs(
  { frontend, options, inputs }: TracedRequest,
  { materials, registry }: { readonly materials: () => Materials; readonly registry: RequestRegistry },
): RequestProvenance {
  const described = describe(frontend, options, { materials, contextFormat });
  const found = Object.entries(inputs).flatMap(([name, definition]) => {
    const request = registry.find(definition);
    return request === undefined ? [] : [[name, request] as const];
  });
  if (found.length === 0) return described;
  const sorted = found.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...described, request: { ...described.request, inputs: Object.fromEntries(sorted) } };
}

function isNothing({ request }: RequestProvenance): boolean {
  return request.frontend === undefined && request.args === undefined && request.inputs === undefined;
}
