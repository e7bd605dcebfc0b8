import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** A time in milliseconds since the epoch, fractions kept, as protobuf has it. */
export function timestampOf(ms: number): Timestamp;
export function timestampOf(ms: number | undefined): Timestamp | undefined;
export function timestampOf(ms: number | undefined): Timestamp | undefined {
  if (ms === undefined) return undefined;
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: Math.floor((ms - seconds * 1000) * 1e6) });
}

/** Now, as Go's RFC3339Nano: what the header `buildkit-current-timestamp` carries. */
export function timestampHeader(now: number): string {
  return new Date(now).toISOString();
}
