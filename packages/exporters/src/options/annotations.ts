import { BuildError } from "@buildkit-ts/errdefs";
import { formatPlatformAll, type Platform, parsePlatform } from "@buildkit-ts/oci";
import { compareBytes } from "@buildkit-ts/tar";

/** What an annotation is put on. */
export type AnnotationType = "index" | "index-descriptor" | "manifest" | "manifest-descriptor";

/** One annotation of a request, such as `annotation-index[linux/amd64].key`. */
export interface Annotation {
  readonly type: AnnotationType;
  /** By {@linkcode formatPlatformAll}; empty for all platforms. */
  readonly platform: string;
  readonly key: string;
  readonly value: string;
}

const pattern = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/;
const types = new Set<string>(["index", "index-descriptor", "manifest", "manifest-descriptor"]);

/**
 * The annotation that an attribute or a result's metadata states; undefined for other keys.
 *
 * @throws {BuildError} `invalid_argument`, for a type or platform that is none.
 */
export function parseAnnotation(key: string, value: string): Annotation | undefined {
  const match = pattern.exec(key);
  if (match === null) return undefined;
  const [, type = "manifest", platform, name = ""] = match;
  if (!types.has(type)) throw new BuildError("invalid_argument", `unrecognized annotation type ${type}`);
  return {
    type: type as AnnotationType,
    platform: platform === undefined ? "" : formatPlatformAll(parsePlatform(platform)),
    key: name,
    value,
  };
}

/** Annotations in a result's metadata. */
export function annotationsOfResult(metadata: ReadonlyMap<string, Uint8Array>): Annotation[] {
  return [...metadata].flatMap(([key, value]) => parseAnnotation(key, Buffer.from(value).toString("utf8")) ?? []);
}

/**
 * The annotations of one type, sorted, later ones over earlier ones; undefined where there are none. Those for a
 * platform go over those for all, and the index takes the ones of every platform.
 */
export function selectAnnotations(
  annotations: readonly Annotation[],
  type: AnnotationType,
  platform?: Platform,
): Readonly<Record<string, string>> | undefined {
  const name = platform === undefined ? "" : formatPlatformAll(platform);
  const ofIndex = type.startsWith("index");
  const chosen = annotations.filter((a) => a.type === type && (ofIndex || a.platform === "" || a.platform === name));
  if (chosen.length === 0) return undefined;
  const general = chosen.filter((a) => a.platform === "");
  const special = chosen.filter((a) => a.platform !== "");
  const entries = new Map([...general, ...special].map((a) => [a.key, a.value]));
  return Object.fromEntries([...entries].toSorted(([a], [b]) => compareBytes(a, b)));
}
