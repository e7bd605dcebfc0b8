import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, type Index, isDigest, type Manifest } from "@buildkit-ts/oci";

const maxDescriptors = 100_000;

/** Whether it lists manifests, and is none itself. */
export function isIndex(manifest: Manifest | Index): manifest is Index {
  return "manifests" in manifest;
}

/**
 * A manifest or index by its content, since not every place tells the type.
 *
 * @throws {BuildError} `invalid_argument`, for bytes that are neither.
 */
export function parseManifest(bytes: Uint8Array): Manifest | Index {
  const value = parseJson(bytes, "manifest");
  const mediaType = typeof value["mediaType"] === "string" ? { mediaType: value["mediaType"] } : {};
  const isManifest = value["config"] !== undefined || value["layers"] !== undefined;
  if (isManifest && value["manifests"] !== undefined)
    throw new BuildError("invalid_argument", "invalid ambiguous manifest and manifest list");
  if (!isManifest) return { schemaVersion: 2, ...mediaType, manifests: parseDescriptors(value["manifests"]) };
  const [config] = parseDescriptors([value["config"]]);
  if (config === undefined) throw invalid("it has no config");
  return { schemaVersion: 2, ...mediaType, config, layers: parseDescriptors(value["layers"]) };
}

/** @throws {BuildError} `invalid_argument`, when the bytes are no JSON object. */
export function parseJson(bytes: Uint8Array, noun: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot read ${noun} of cache: not JSON`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BuildError("invalid_argument", `Cannot read ${noun} of cache: not a JSON object`);
  return value as Record<string, unknown>;
}

function parseDescriptors(value: unknown): Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > maxDescriptors) throw invalid("it holds no list of descriptors");
  return value.map((item: unknown) => {
    const fields = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    const { mediaType = "", digest, size } = fields;
    if (typeof mediaType !== "string" || typeof digest !== "string" || !isDigest(digest))
      throw invalid("it holds an invalid descriptor");
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
      throw invalid("it holds a descriptor without size");
    const texts = Object.entries((fields["annotations"] ?? {}) as object).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    );
    return { mediaType, digest, size, ...(texts.length > 0 && { annotations: Object.fromEntries(texts) }) };
  });
}

function invalid(why: string): BuildError {
  return new BuildError("invalid_argument", `Cannot read manifest of cache: ${why}`);
}
