import { BuildError } from "@buildkit-ts/errdefs";
import { git, local, parseGitRemote, type State, stateFromDefinition } from "@buildkit-ts/llb";
import type { FrontendClient } from "./frontend-client.ts";

/**
 * The files that the user builds from: an input, a git repository (`URL#ref:subdirectory`), or the client's directory.
 *
 * @throws {BuildError} `unimplemented`, for a context of another kind.
 */
export async function buildContext(
  client: FrontendClient,
  options: { readonly excludePatterns?: readonly string[]; readonly followPaths?: readonly string[] } = {},
): Promise<State> {
  const name = "context";
  const input = (await client.inputs()).get(name);
  if (input !== undefined) return stateFromDefinition(input);
  const address = client.options[client.options["contextkey"] ?? name];
  if (address !== undefined && address !== "") return repository(address);
  return local(name, {
    sessionId: client.options[`local-sessionid:${name}`] ?? client.sessionId,
    sharedKeyHint: name,
    customName: "[internal] load build context",
    ...options,
  });
}

function repository(address: string): State {
  const [url = "", fragment = ""] = address.split("#", 2);
  const remote = parseGitRemote(url);
  if (remote === undefined || (/^https?$/.test(remote.scheme) && !remote.path.endsWith(".git"))) {
    throw new BuildError("unimplemented", `Cannot use context "${address}": this frontend takes directories and git`);
  }
  const [ref = "", subdir = ""] = fragment.split(":", 2);
  return git(url, { ref, subdir, customName: `[internal] load git source ${address}` });
}
