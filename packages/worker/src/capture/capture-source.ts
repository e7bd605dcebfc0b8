import type { opspb } from "@buildkit-ts/api";
import { isDigest, type Platform } from "@buildkit-ts/oci";
import type { Capture } from "@buildkit-ts/provenance";
import { parseGitIdentifier } from "@buildkit-ts/sources";

/** A source that was resolved. */
export interface ResolvedSource {
  readonly source: opspb.SourceOp;
  /** What it was resolved to: a digest, or a commit. */
  readonly pin: string;
  readonly platform: Platform;
}

/** Adds what a source brought in. Schemes that are not known here leave the materials incomplete. */
export function captureSource(capture: Capture, resolved: ResolvedSource): void {
  const { pin } = resolved;
  const { identifier } = resolved.source;
  const scheme = identifier.slice(0, Math.max(0, identifier.indexOf("://")));
  const name = identifier.slice(scheme.length + "://".length);
  const digest = isDigest(pin) ? pin : undefined;
  const local = scheme.startsWith("oci-layout");
  switch (scheme) {
    case "docker-image":
    case "oci-layout":
      capture.addImage({ ref: name, platform: resolved.platform, digest, local });
      return;
    case "docker-image+blob":
    case "oci-layout+blob":
      if (digest !== undefined) capture.addBlob({ ref: name, digest, local });
      return;
    case "git":
      captureGit(capture, resolved);
      return;
    case "http":
    case "https":
      if (digest !== undefined) capture.addHttp({ url: identifier, digest });
      return;
    case "local":
      capture.addLocal(name);
      return;
    default:
      capture.incompleteMaterials = true;
  }
}

function captureGit(capture: Capture, { source, pin, platform }: ResolvedSource): void {
  const { identifier, attrs: attributes } = source;
  const id = parseGitIdentifier({ identifier, attributes, platform, vertex: "" });
  const bundle = attributes["git.bundle"] ?? "";
  // What is captured tells that there were credentials, and masks them.
  const remote = id.userInfo === "" ? id.remote : id.remote.replace("://", `://${id.userInfo}@`);
  capture.addGit({
    url: `${remote}${id.ref === "" ? "" : `#${id.ref}`}`,
    commit: pin,
    ...(bundle !== "" && { bundle }),
  });
  for (const secret of [id.authTokenSecret, id.authHeaderSecret]) {
    if (secret !== "") capture.addSecret({ id: secret, optional: true });
  }
  const ssh = attributes["git.mountsshsock"] ?? "";
  if (ssh !== "") capture.addSsh({ id: ssh, optional: true });
}
