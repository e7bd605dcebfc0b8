import type { Fault, FaultPlan } from "./fault-proxy.ts";

const kinds: readonly Fault[] = [
  { kind: "late", ms: 300 },
  { kind: "reset" },
  { kind: "truncated" },
  { kind: "status", status: 500 },
  { kind: "status", status: 502 },
  { kind: "status", status: 503, headers: { "retry-after": "1" } },
  { kind: "status", status: 429, headers: { "retry-after": "1" } },
];

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Breaks a share of all requests, in any way that passes. */
export function randomFaults(share: number, random: () => number): FaultPlan {
  return () => (random() < share ? kinds[Math.floor(random() * kinds.length)] : undefined);
}
