import { formatGoJson } from "@buildkit-ts/gotext";
import type { Descriptor } from "@buildkit-ts/oci";
import type { CommittedImage } from "./image-writer.ts";
import { orderDescriptor } from "./order-descriptor.ts";

/** What clients are told of an image: digests and the descriptor, for `--metadata-file` and `--iidfile`. */
export function describeImage(image: CommittedImage, descriptor: Descriptor): Record<string, string> {
  return {
    "containerimage.digest": image.descriptor.digest,
    ...(image.configDigest !== undefined && { "containerimage.config.digest": image.configDigest }),
    "containerimage.descriptor": Buffer.from(formatGoJson(orderDescriptor(descriptor))).toString("base64"),
  };
}
