import { UnsupportedFrontendCapError } from "@buildkit-ts/errdefs";
import type { FrontendImage } from "./frontend-image.ts";

const capabilitiesLabel = "moby.buildkit.frontend.caps";
const inputsCapability = "moby.buildkit.frontend.inputs";

/** Images of `docker/dockerfile` (1.1.6, 1.1.7 and their experimental variants) that take inputs and have no label yet. */
const takeInputs: ReadonlySet<string> = new Set([
  "sha256:9ac1c43a60e31dca741a6fe8314130a9cd4c4db0311fbbc636ff992ef60ae76d",
  "sha256:080bd74d8778f83e7b670de193362d8c593c8b14f5c8fb919d28ee8feda0d069",
  "sha256:60543a9d92b92af5088fb2938fb09b2072684af8384399e153e137fe081f8ab4",
  "sha256:de85b2f3a3e8a2f7fe48e8e84a65f6fdd5cd5183afa6412fff9caa6871649c44",
]);

/**
 * Checks that a frontend's image says it can do what its client requires.
 *
 * @throws {UnsupportedFrontendCapError} naming the first thing that it cannot.
 */
export function checkFrontendCapabilities(
  image: Pick<FrontendImage, "labels" | "digest">,
  required: { readonly list: string; readonly inputs: boolean },
): void {
  const offered = parseList(image.labels.get(capabilitiesLabel) ?? "");
  if (takeInputs.has(image.digest ?? "")) offered.add(inputsCapability);
  const wanted = parseList(required.list);
  if (required.inputs) wanted.add(inputsCapability);
  for (const name of wanted) if (!offered.has(name)) throw new UnsupportedFrontendCapError(name);
}

/** Names without what follows a `+`, which is for frontends in the daemon. */
function parseList(list: string): Set<string> {
  return new Set(list.split(",").flatMap((item) => item.split("+", 1).filter((name) => name !== "")));
}
