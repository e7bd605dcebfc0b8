import { BuildError } from "@buildkit-ts/errdefs";
import type { StatementNaming } from "../attestation/statement-files.ts";
import type { ExportInput } from "../exporter.ts";
import { type Epoch, epochFromResult, parseBoolAttribute, parseEpoch } from "../options/attributes.ts";
import { checkPlatforms, findRef, resultPlatforms } from "../options/result-platforms.ts";

/** What the attributes of the outputs `local` and `tar` say. */
export interface TreeOptions {
  readonly epoch: Epoch | undefined;
  /** Whether each platform has a directory; undefined: if the result is a map. */
  readonly platformSplit: boolean | undefined;
  /** What the names of statements begin with. */
  readonly attestationPrefix: string;
  /** `delete` makes the client's directory equal to the result. */
  readonly mode: "copy" | "delete";
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseTreeOptions(attributes: Readonly<Record<string, string>>): TreeOptions {
  const epoch = attributes["source-date-epoch"];
  const split = attributes["platform-split"];
  const mode = attributes["mode"] ?? "";
  if (mode !== "" && mode !== "copy" && mode !== "delete")
    throw new BuildError("invalid_argument", `invalid local exporter mode ${JSON.stringify(mode.slice(0, 100))}`);
  return {
    epoch: epoch === undefined ? undefined : parseEpoch(epoch, "invalid source-date-epoch"),
    platformSplit: split === undefined ? undefined : parseBoolAttribute("platform-split", split),
    attestationPrefix: attributes["attestation-prefix"] ?? "",
    mode: mode === "delete" ? "delete" : "copy",
  };
}

/** One tree of a result. */
export interface ResultTree {
  /** Platform id; empty for a result without. */
  readonly id: string;
  readonly ref: ExportInput["ref"];
  readonly epochSeconds: number | undefined;
}

/** How the statements about a tree are named: trees that come together tell theirs apart by platform. */
export function statementNaming(input: ExportInput, options: TreeOptions, id: string): StatementNaming {
  const isMap = input.refs.size > 0;
  const isSplit = options.platformSplit ?? isMap;
  return { prefix: options.attestationPrefix, platform: isMap && !isSplit ? id : undefined };
}

/** The trees of a result, one for each platform. */
export function resultTrees(input: ExportInput, options: TreeOptions): ResultTree[] {
  const platforms = resultPlatforms(input.metadata);
  checkPlatforms(input, platforms);
  return platforms.map(({ id }) => {
    const epoch = options.epoch ?? epochFromResult(input.metadata, id);
    return { id, ref: findRef(input, id), epochSeconds: epoch?.seconds };
  });
}

/**
 * The directory of a platform: `linux_amd64`.
 *
 * @throws {BuildError} `invalid_argument`, for an id that is no name: frontends choose ids.
 */
export function platformDirectory(id: string): string {
  const name = id.replaceAll("/", "_");
  if (name === "." || name === ".." || !/^[A-Za-z0-9_.()+-]{1,255}$/.test(name))
    throw new BuildError(
      "invalid_argument",
      `Cannot use platform id ${JSON.stringify(id.slice(0, 200))}: not a file name`,
    );
  return name;
}
