import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type BuildHistoryEvent, BuildHistoryEventType } from "@buildkit-ts/api/buildkit/control";
import { formatLocalTime } from "../output/format-time.ts";

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(BuildHistoryEventType).map(([name, value]) => [value, name]),
);

/** Name of an event's type. */
export function eventTypeName(event: BuildHistoryEvent): string {
  return typeNames.get(event.type) ?? String(event.type);
}

/** One event as a row: type, reference, times, generation. */
export function historyRow(event: BuildHistoryEvent): string[] {
  const { record } = event;
  const time = (value: Timestamp | undefined): string => (value === undefined ? "" : formatLocalTime(value));
  return [
    eventTypeName(event),
    record?.Ref ?? "",
    time(record?.CreatedAt),
    time(record?.CompletedAt),
    String(record?.Generation ?? 0),
  ];
}
