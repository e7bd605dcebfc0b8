import { type FrontendRef, runDockerfileFrontend } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Frontend, Reference } from "@buildkit-ts/frontend";
import { mapRefs } from "@buildkit-ts/provenance";

/** The Dockerfile frontend outside of the daemon: in a frontend image, or in a client. */
export const dockerfileFrontend: Frontend = async (client, options) => {
  const { ref, refs, metadata, attestations = new Map() } = await runDockerfileFrontend(client, options);
  return {
    ref: ref && asReference(ref),
    refs: new Map([...refs].map(([platform, r]) => [platform, r && asReference(r)])),
    metadata,
    attestations: mapRefs(attestations, (r) => r && asReference(r)),
  };
};

/** What the frontend returns are the references that it was given, which the types of its own interface cannot say. */
function asReference(ref: FrontendRef): Reference {
  if (ref instanceof Reference) return ref;
  throw new BuildError("internal", "Cannot return result: its ref is not the daemon's");
}
