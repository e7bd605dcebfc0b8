import type { RemoteLayer } from "@buildkit-ts/cache";
import { formatTime } from "@buildkit-ts/gotext";
import type { HistoryEntry } from "@buildkit-ts/oci";

/** Reads the `history` of a config; what is no history entry is dropped, as is what entries do not define. */
export function parseHistory(text: string | undefined): HistoryEntry[] {
  const value: unknown = text === undefined ? [] : JSON.parse(text);
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "object" && entry !== null).map(toEntry) : [];
}

/** One entry in the order and with the omissions of Go's `ocispec.History`. */
function toEntry(raw: Readonly<Record<string, unknown>>): HistoryEntry {
  const entry: HistoryEntry = {};
  const created = typeof raw["created"] === "string" ? Date.parse(raw["created"]) : Number.NaN;
  if (!Number.isNaN(created)) entry.created = trimTime(raw["created"] as string);
  for (const key of ["created_by", "author", "comment"] as const) {
    const value = raw[key];
    if (typeof value === "string" && value !== "") entry[key] = value;
  }
  if (raw["empty_layer"] === true) entry.empty_layer = true;
  return entry;
}

function trimTime(time: string): string {
  return time.replace(/(\.\d*?)0+(?=Z|[+-]\d\d:\d\d$)/, (_all, fraction: string) => (fraction === "." ? "" : fraction));
}

/**
 * Makes a history tell of exactly these layers: entries beyond the last layer are marked empty;
 * missing ones are added from what the layers say of themselves. Every entry gets a time if any has one.
 */
export function alignHistory(history: readonly HistoryEntry[], layers: readonly RemoteLayer[]): HistoryEntry[] {
  let filled = 0;
  const aligned = history.map((entry): HistoryEntry => {
    if (entry.empty_layer) return entry;
    filled += 1;
    return filled > layers.length ? { ...entry, empty_layer: true } : entry;
  });
  for (const layer of layers.slice(filled)) {
    aligned.push({
      created: formatTime(layer.createdAt),
      created_by: layer.description === "" ? "created by buildkit" : layer.description,
      comment: "buildkit.exporter.image.v0",
    });
  }
  return fillTimes(withLayerTimes(aligned, layers));
}

function withLayerTimes(history: readonly HistoryEntry[], layers: readonly RemoteLayer[]): HistoryEntry[] {
  let index = 0;
  return history.map((entry) => {
    if (entry.empty_layer) return entry;
    const layer = layers[index];
    index += 1;
    return entry.created !== undefined || layer === undefined
      ? entry
      : { created: formatTime(layer.createdAt), ...entry };
  });
}

/**
 * Entries without a time take the one of the first new layer, or of the layer before: otherwise the first metadata
 * commands would have the time of the base image.
 */
function fillTimes(history: readonly HistoryEntry[]): HistoryEntry[] {
  const firstUntimed = history.findIndex((entry) => entry.created === undefined);
  const times = history.map((entry) => entry.created);
  let created =
    firstUntimed < 0
      ? undefined
      : (times.slice(firstUntimed).find((time) => time !== undefined) ?? times.findLast((time) => time !== undefined));
  let sawUntimed = false;
  return history.map((entry) => {
    if (entry.created !== undefined) {
      if (sawUntimed) created = entry.created;
      return entry;
    }
    sawUntimed = true;
    return created === undefined ? entry : { created, ...entry };
  });
}

/** Clamps times to the epoch, except those of the entries that come unchanged from the base image. */
export function clampHistory(
  history: readonly HistoryEntry[],
  epochMs: number,
  base: readonly HistoryEntry[],
): HistoryEntry[] {
  const same = (entry: HistoryEntry, index: number): boolean =>
    index < base.length && JSON.stringify(entry) === JSON.stringify(base[index]);
  const diverges = history.findIndex((entry, index) => !same(entry, index));
  return history.map((entry, index) => {
    if (diverges < 0 || index < diverges) return entry;
    const late = entry.created === undefined || Date.parse(entry.created) > epochMs;
    const { created: _created, ...rest } = entry;
    return late ? { created: formatTime(epochMs), ...rest } : entry;
  });
}
