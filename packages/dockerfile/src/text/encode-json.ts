import { formatGoJson } from "@buildkit-ts/gotext";

/** JSON bytes as Go's encoder writes them, for metadata that clients and exporters read. */
export function encodeJson(value: unknown, indent?: number): Uint8Array {
  return new TextEncoder().encode(formatGoJson(value, indent));
}
