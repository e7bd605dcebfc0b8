import type { Descriptor, Reference } from "@buildkit-ts/oci";

/** Annotations of layers with this prefix say which repositories of a registry have the blob, as containerd does. */
const prefix = "containerd.io/distribution.source.";
const maxSources = 3;

/** Whether an annotation only says where a blob is: that is no part of what is published. */
export function isBlobSource(annotation: string): boolean {
  return annotation.startsWith(prefix);
}

/** The annotation of a blob that a repository has. */
export function blobSource({ domain, path }: Pick<Reference, "domain" | "path">): Readonly<Record<string, string>> {
  return { [`${prefix}${domain}`]: path };
}

/** Other repositories of a registry that are known to have a blob, the most promising first. */
export function blobRepositories(
  blobs: readonly Pick<Descriptor, "annotations">[],
  target: Pick<Reference, "domain" | "path">,
): string[] {
  const known = blobs.flatMap(({ annotations }) => annotations?.[`${prefix}${target.domain}`]?.split(",") ?? []);
  const wanted = target.path.split("/");
  const common = (path: string): number => {
    const parts = path.split("/");
    const differs = parts.findIndex((part, index) => part !== wanted[index]);
    return differs < 0 ? parts.length : differs;
  };
  return [...new Set(known)]
    .filter((path) => path !== "" && path !== target.path)
    .toSorted((a, b) => common(b) - common(a))
    .slice(0, maxSources);
}
