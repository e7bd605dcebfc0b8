import { digestHex, digestOf } from "@buildkit-ts/oci";

/** Stands for a value that must be neither kept nor shown: equal for equal values, and too short to find the value by. */
export function hiddenValue(value: string): string {
  return `(hidden ${digestHex(digestOf(`hidden ${value}`)).slice(0, 4)})`;
}
