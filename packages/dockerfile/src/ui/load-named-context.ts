import type { State } from "@buildkit-ts/llb";
import type { ImageDraft } from "../convert/image-draft.ts";
import type { FrontendClient } from "../frontend-client.ts";
import { BuildContext } from "./build-context.ts";
import { NamedContexts } from "./named-contexts.ts";

/**
 * What the client gives in place of the image with this name (`context:<name>`), for whoever uses images but converts no
 * Dockerfile; undefined if it gives nothing.
 */
export async function loadNamedContext(
  client: FrontendClient,
  reference: string,
  options: { readonly signal: AbortSignal },
): Promise<{ readonly state: State; readonly image: ImageDraft | undefined } | undefined> {
  const contexts = new NamedContexts(client, new BuildContext(client), "default");
  const found = contexts.find(reference, { platform: undefined, followPaths: () => undefined });
  return await found?.load(options);
}
