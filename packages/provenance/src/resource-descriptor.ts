import { type Digest, digestHex } from "@buildkit-ts/oci";
import type { GitMaterial, Materials } from "./materials.ts";
import { imagePackageUrl } from "./package-url.ts";

/** Digests in hexadecimal, by algorithm. */
export type DigestSet = Readonly<Record<string, string>>;

/** A thing that went into a build, as in-toto names it. */
export interface ResourceDescriptor {
  readonly uri: string;
  readonly digest?: DigestSet;
}

/** Git's ids of 64 digits are SHA-256, all others SHA-1. */
export function gitDigestSet(commit: string): DigestSet {
  return { [commit.length === 64 ? "sha256" : "sha1"]: commit };
}

export function digestSet(digest: Digest): DigestSet {
  return { [digest.split(":", 1)[0] ?? ""]: digestHex(digest) };
}

/** All materials as resources: images, blobs, git, HTTP; each kind in its order. Directories of clients have no identity. */
export function describeMaterials(materials: Materials): ResourceDescriptor[] {
  return [
    ...materials.images.map(({ ref, platform, digest, local }) => ({
      uri: imagePackageUrl(local ? "oci" : "docker", ref, { platform }),
      ...(digest !== undefined && { digest: digestSet(digest) }),
    })),
    ...materials.blobs.map(({ ref, digest, local }) => ({
      uri: imagePackageUrl(local ? "oci" : "docker", ref, { qualifiers: { ref_type: "blob" } }),
      digest: digestSet(digest),
    })),
    ...materials.git.flatMap(describeGit),
    ...materials.http.map(({ url, digest }) => ({ uri: url, digest: digestSet(digest) })),
  ];
}

function describeGit({ url, commit, bundle }: GitMaterial): ResourceDescriptor[] {
  const repository = { uri: url, digest: gitDigestSet(commit) };
  const [, scheme, ref, digest] = /^([^:]+):\/\/(.+)@([^@]+:[0-9a-f]+)$/.exec(bundle ?? "") ?? [];
  if (scheme === undefined || ref === undefined || digest === undefined) return [repository];
  const type = scheme.startsWith("oci-layout") ? "oci" : "docker";
  const uri = imagePackageUrl(type, ref, { qualifiers: { ref_type: "bundle", vcs_url: url } });
  return [repository, { uri, digest: digestSet(digest as Digest) }];
}
