import { formatFamiliar, formatPlatform, type Platform, parseReference, withDefaultTag } from "@buildkit-ts/oci";

/** What a package URL says besides the name, in the order of the text. */
export type PackageQualifiers = Readonly<Record<string, string>>;

/**
 * An image's package URL: `pkg:docker/busybox@latest?platform=linux%2Famd64` (package-url specification, types `docker`
 * and `oci`).
 *
 * @throws {BuildError} `invalid_argument`, for a name that is none.
 */
export function imagePackageUrl(
  type: "docker" | "oci",
  name: string,
  options: { readonly platform?: Platform | undefined; readonly qualifiers?: PackageQualifiers } = {},
): string {
  const reference = withDefaultTag(parseReference(name));
  const { tag, digest, domain, path } = reference;
  const qualifiers = {
    ...(digest !== undefined && { digest }),
    ...(options.platform !== undefined && { platform: formatPlatform(options.platform) }),
    ...options.qualifiers,
  };
  const familiar = formatFamiliar({ domain, path });
  const encoded = familiar.split("/").map(encodePart).join("/");
  const version = tag === undefined ? "" : `@${encodeValue(tag)}`;
  return `pkg:${type}/${encoded}${version}${encodeQualifiers(qualifiers)}`;
}

function encodeQualifiers(qualifiers: PackageQualifiers): string {
  const pairs = Object.entries(qualifiers).map(([key, value]) => `${key}=${encodeValue(value)}`);
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Versions and qualifiers keep what is harmless there: digests stay readable, and equal to BuildKit's. */
function encodeValue(text: string): string {
  return encodePart(text).replace(/%(?:24|26|2B|3A|3D|40)/g, decodeURIComponent);
}
