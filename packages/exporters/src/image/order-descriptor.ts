import type { Descriptor } from "@buildkit-ts/oci";

/** The members in the order of Go's `ocispec.Descriptor`, so that equal images have equal digests. */
export function orderDescriptor(descriptor: Descriptor): Descriptor {
  const { mediaType, digest, size, urls, annotations, data, platform, artifactType } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls !== undefined && urls.length > 0 && { urls }),
    ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations }),
    ...(data !== undefined && { data }),
    ...(platform !== undefined && { platform: orderPlatform(platform) }),
    ...(artifactType !== undefined && { artifactType }),
  };
}

function orderPlatform(platform: NonNullable<Descriptor["platform"]>): NonNullable<Descriptor["platform"]> {
  const { architecture, os, variant, "os.version": version, "os.features": features } = platform;
  return {
    architecture,
    os,
    ...(version !== undefined && { "os.version": version }),
    ...(features !== undefined && { "os.features": features }),
    ...(variant !== undefined && { variant }),
  };
}
