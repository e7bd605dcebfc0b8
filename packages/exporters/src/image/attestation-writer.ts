import type { Remote } from "@buildkit-ts/cache";
import type { Descriptor } from "@buildkit-ts/oci";
import { createStatement, imagePackageUrl } from "@buildkit-ts/provenance";
import { LayerFiles } from "../attestation/layer-files.ts";
import { type ReadyAttestation, readAttestations } from "../attestation/read-attestations.ts";
import { supplementSbom } from "../attestation/supplement-sbom.ts";
import type { ExportContext, ExportInput } from "../exporter.ts";
import type { ImageOptions } from "../options/image-options.ts";
import type { ResultPlatform } from "../options/result-platforms.ts";
import { packAttestations } from "./attestation-manifest.ts";
import type { DocumentWriter } from "./document-writer.ts";
import { outputNames } from "./image-names.ts";

/** An image of an index, and what it was made from. */
export interface AttestedImage {
  readonly image: Descriptor;
  readonly platform: ResultPlatform;
  readonly remote: Remote | undefined;
}

interface AttestedResult {
  readonly input: ExportInput;
  readonly options: Pick<ImageOptions, "name" | "ociArtifact">;
}

/** Writes what is stated about the images of an index. */
export class AttestationWriter {
  readonly #documents: DocumentWriter;

  constructor(documents: DocumentWriter) {
    this.#documents = documents;
  }

  /** @returns One manifest for each image that something is stated of. */
  async write(images: readonly AttestedImage[], result: AttestedResult, context: ExportContext): Promise<Descriptor[]> {
    const manifests: Descriptor[] = [];
    for (const attested of images) {
      const attestations = result.input.attestations.get(attested.platform.id) ?? [];
      if (attestations.length === 0) continue;
      const ready = await prepare(await readAttestations(attestations, context), attested, context);
      manifests.push(await this.#writeOne(ready, { attested, ...result }, context));
    }
    return manifests;
  }

  async #writeOne(
    attestations: readonly ReadyAttestation[],
    { attested, input, options }: AttestedResult & { readonly attested: AttestedImage },
    context: ExportContext,
  ): Promise<Descriptor> {
    const { image: target, platform } = attested;
    const subjects = outputNames(options.name, input.metadata).map((name) => ({
      name: imagePackageUrl("docker", name, { platform: platform.platform }),
      digest: target.digest,
    }));
    const statements = attestations.map((attestation) => createStatement(attestation, subjects));
    const packed = packAttestations(statements, { target, artifact: options.ociArtifact });
    for (const blob of packed.blobs) await this.#documents.write(blob, input, context);
    await this.#documents.writeNamed({ kind: "attestation manifest", ...packed.manifest }, input, context);
    return packed.descriptor;
  }
}

/** One after the other: they share what is known of the layers. */
async function prepare(
  attestations: readonly ReadyAttestation[],
  { remote }: AttestedImage,
  context: ExportContext,
): Promise<ReadyAttestation[]> {
  if (remote === undefined) return [...attestations];
  const layers = new LayerFiles(remote);
  const ready: ReadyAttestation[] = [];
  for (const attestation of attestations) ready.push(await supplementSbom(attestation, layers, context));
  return ready;
}
