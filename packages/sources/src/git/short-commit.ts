import { BuildError } from "@buildkit-ts/errdefs";
import type { GitCommand } from "./git-command.ts";

/** The beginning of a commit's id, as git itself shows it: shorter ones are more likely the name of a branch that is misspelt. */
export function isShortCommitId(text: string): boolean {
  return /^[0-9a-f]{7,39}$/.test(text);
}

/**
 * The commit of a repository whose id begins like that; undefined, if there is none.
 *
 * @throws {BuildError} `invalid_argument`, if there are several.
 */
export async function findCommit(
  git: GitCommand,
  beginning: string,
  options: { readonly signal: AbortSignal },
): Promise<string | undefined> {
  const listed = await git.run(["rev-parse", `--disambiguate=${beginning}`], options);
  const commits: string[] = [];
  for (const object of listed.split("\n").filter((line) => line !== "")) {
    const type = (await git.run(["cat-file", "-t", object], options)).trim();
    if (type === "commit") commits.push(object);
  }
  if (commits.length > 1)
    throw new BuildError("invalid_argument", `short commit id ${beginning} is ambiguous: ${commits.join(", ")}`);
  return commits[0];
}
