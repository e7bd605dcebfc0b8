import type { StepDescription } from "@buildkit-ts/solver";

/** An op whose key is made of nothing that people would want to see by name. */
export function describeJson(kind: string, text: string): StepDescription {
  return { kind, fields: new Map([["definition", text]]) };
}
