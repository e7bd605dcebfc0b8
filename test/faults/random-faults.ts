import type { SeededRandom } from "../e2e/support/seeded-random.ts";
import type { Fault, FaultPlan, ProxiedRequest } from "./fault-proxy.ts";

/** Faults that pass with the request. */
const kinds: readonly Fault[] = [
  { kind: "late", ms: 300 },
  { kind: "reset" },
  { kind: "truncated" },
  { kind: "half sent" },
  { kind: "wrong bytes" },
  { kind: "status", status: 408 },
  { kind: "status", status: 500 },
  { kind: "status", status: 502 },
  { kind: "status", status: 503, headers: { "retry-after": "1" } },
  { kind: "status", status: 429, headers: { "retry-after": "1" } },
];

/** How a fault is counted. */
export function nameOfFault(fault: Fault): string {
  return fault.kind === "status" ? `status ${fault.status}` : fault.kind;
}

/** Whether a request can fail in this way so that anybody can tell. */
function applies({ kind }: Fault, { method, path }: ProxiedRequest): boolean {
  if (kind === "half sent") return (method === "PUT" || method === "PATCH") && path.includes("/blobs/");
  if (kind === "truncated") return method === "GET";
  // Only registries say by digests what their bytes are.
  if (kind === "wrong bytes") return method === "GET" && path.startsWith("/v2/");
  return true;
}

/** Breaks a share of all requests, in any way that passes; says which and how. */
export function randomFaults(
  share: number,
  options: { readonly random: SeededRandom; readonly onRequest: (fault: Fault | undefined) => void },
): FaultPlan {
  const { random, onRequest } = options;
  return (request) => {
    const possible = kinds.filter((kind) => applies(kind, request));
    const fault = random.next() < share ? random.pick(possible) : undefined;
    onRequest(fault);
    return fault;
  };
}
