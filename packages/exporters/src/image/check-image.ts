import { BuildError } from "@buildkit-ts/errdefs";
import { isInlineOnly } from "@buildkit-ts/provenance";
import type { ExportInput } from "../exporter.ts";
import type { Annotation } from "../options/annotations.ts";
import type { ImageOptions } from "../options/image-options.ts";
import { checkPlatforms, type ResultPlatform } from "../options/result-platforms.ts";

/** @throws {BuildError} `invalid_argument`, when the result and its platforms contradict each other. */
export function checkImagePlatforms(input: ExportInput, platforms: readonly ResultPlatform[]): void {
  if (input.refs.size === 0 && platforms.length > 1)
    throw new BuildError("invalid_argument", "cannot export multiple platforms without multi-platform enabled");
  checkPlatforms(input, platforms);
}

/**
 * Whether the image is one of an index: for a map of refs, and where statements about it need a place.
 *
 * @throws {BuildError} `invalid_argument`, for statements in Docker's media types.
 */
export function needsIndex(
  input: ExportInput,
  platforms: readonly ResultPlatform[],
  options: Pick<ImageOptions, "attestationInline" | "ociMediaTypes">,
): boolean {
  const all = platforms.flatMap(({ id }) => input.attestations.get(id) ?? []);
  const isAttested = all.some((attestation) => options.attestationInline || !isInlineOnly(attestation));
  if (input.refs.size === 0 && !isAttested) return false;
  if (!options.ociMediaTypes && input.attestations.size > 0)
    throw new BuildError("invalid_argument", 'cannot export attestations with "oci-mediatypes=false"');
  return true;
}

/** @throws {BuildError} `invalid_argument`, for annotations that have no place in the image. */
export function checkAnnotations(
  annotations: readonly Annotation[],
  image: { readonly input: ExportInput; readonly isIndex: boolean; readonly options: ImageOptions },
): void {
  const { input, isIndex, options } = image;
  const isMap = input.refs.size > 0;
  for (const { type, platform } of annotations) {
    if (platform !== "" && isMap && !input.refs.has(platform))
      throw new BuildError("invalid_argument", `invalid annotation: no platform ${platform} found in source`);
    if (!options.ociMediaTypes && type !== "manifest")
      throw new BuildError("invalid_argument", 'cannot export annotations with "oci-mediatypes=false"');
    if (!isIndex && type.startsWith("index"))
      throw new BuildError("invalid_argument", "index annotations not supported for single platform export");
  }
}
