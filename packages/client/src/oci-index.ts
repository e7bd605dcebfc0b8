import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";

const nameAnnotation = "io.containerd.image.name";
const tagAnnotation = "org.opencontainers.image.ref.name";
const indexMediaType = "application/vnd.oci.image.index.v1+json";

/** A descriptor as `index.json` holds it. */
export interface IndexEntry {
  readonly mediaType?: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What an entry is called: an image's full name, or a tag alone. */
export type EntryName = { readonly name: string } | { readonly tag: string };

interface Index {
  readonly manifests: readonly IndexEntry[];
  readonly rest: Readonly<Record<string, unknown>>;
}

/** The entry of an OCI layout that has this tag or name; undefined if there is none. */
export function findIndexEntry(layout: string, tag: string): IndexEntry | undefined {
  const { manifests } = readIndex(layout);
  const withAnnotation = (key: string) => manifests.find((entry) => entry.annotations?.[key] === tag);
  return withAnnotation(nameAnnotation) ?? withAnnotation(tagAnnotation);
}

/** All entries of an OCI layout. */
export function listIndexEntries(layout: string): readonly IndexEntry[] {
  return readIndex(layout).manifests;
}

/** Enters a descriptor under names, taking these from other entries. Makes the directory a layout if it is none. */
export function putIndexEntry(layout: string, entry: IndexEntry, names: readonly EntryName[]): void {
  mkdirSync(layout, { recursive: true });
  const index = readIndex(layout);
  let manifests = [...index.manifests];
  for (const name of names) {
    const annotations = { ...entry.annotations, ...annotationsOf(name) };
    const tag = annotations[tagAnnotation];
    const image = annotations[nameAnnotation];
    manifests = manifests.filter(({ annotations: other }) => {
      return other?.[tagAnnotation] !== tag || other?.[nameAnnotation] !== image;
    });
    manifests.push({ ...entry, annotations });
  }
  const text = JSON.stringify({ schemaVersion: 2, mediaType: indexMediaType, ...index.rest, manifests });
  writeWhole(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeWhole(join(layout, "index.json"), text);
}

function annotationsOf(name: EntryName): Record<string, string> {
  if ("tag" in name) return { [tagAnnotation]: name.tag };
  return {
    [nameAnnotation]: name.name,
    [tagAnnotation]: /:([\w][\w.-]{0,127})(?:@|$)/.exec(name.name)?.[1] ?? name.name,
  };
}

function readIndex(layout: string): Index {
  const path = join(layout, "index.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { manifests: [], rest: {} };
    throw error;
  }
  try {
    const { manifests, ...rest } = JSON.parse(text) as { manifests?: unknown };
    return { manifests: Array.isArray(manifests) ? (manifests as IndexEntry[]) : [], rest };
  } catch (error) {
    throw new BuildError("data_loss", `Cannot read index "${path}": malformed JSON`, { cause: error });
  }
}

function writeWhole(path: string, text: string): void {
  const temporary = `${path}.tmp-${process.pid}`;
  writeFileSync(temporary, text, { mode: 0o644 });
  renameSync(temporary, path);
}
