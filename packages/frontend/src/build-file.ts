import { BuildError, type Code, SourceError } from "@buildkit-ts/errdefs";
import { encodeDefinition, local, type SourceLocation, type SourceMap, stateFromDefinition } from "@buildkit-ts/llb";
import type { FrontendClient } from "./frontend-client.ts";

/** The file that a user wrote for a frontend, with what is needed to point into it. */
export class BuildFile {
  readonly map: SourceMap;

  constructor(map: SourceMap) {
    this.map = map;
  }

  get text(): string {
    return new TextDecoder().decode(this.map.data);
  }

  /** Where an op comes from: lines from 1, both ends inclusive. For the `locations` of its constraints. */
  location(first: number, last: number = first): SourceLocation {
    return { map: this.map, ranges: [lines(first, last)] };
  }

  /** A failure that clients show with the lines it points to. */
  error(message: string, place: { readonly first: number; readonly last?: number; readonly code?: Code }): SourceError {
    const { filename, language, data, definition } = this.map;
    return new SourceError(message, {
      code: place.code ?? "invalid_argument",
      ranges: [lines(place.first, place.last ?? place.first)],
      source: {
        filename,
        language,
        data,
        ...(definition !== undefined && { definition: encodeDefinition(definition) }),
      },
    });
  }
}

function lines(first: number, last: number): SourceLocation["ranges"][number] {
  return { start: { line: first, character: 0 }, end: { line: last, character: 0 } };
}

/** Which file a frontend reads where the user names none (`filename`), and the language it is in. */
export interface BuildFileOptions {
  readonly defaultName: string;
  /** A name of GitHub's linguist, if there is one. */
  readonly language: string;
  readonly signal: AbortSignal;
}

/**
 * Reads the user's file from where clients put it: the input or the local directory `dockerfile`.
 *
 * @throws {BuildError} `not_found`, if it is not there.
 */
export async function readBuildFile(client: FrontendClient, options: BuildFileOptions): Promise<BuildFile> {
  const { defaultName, language, signal } = options;
  const filename = client.options["filename"] ?? defaultName;
  const name = client.options["dockerfilekey"] ?? "dockerfile";
  const input = (await client.inputs()).get(name);
  const state =
    input !== undefined
      ? stateFromDefinition(input)
      : local(name, {
          followPaths: [filename],
          sessionId: client.options[`local-sessionid:${name}`] ?? client.sessionId,
          sharedKeyHint: name,
          differ: { type: "none", required: false },
          customName: `[internal] load build definition from ${filename}`,
        });
  const definition = state.marshal();
  const { ref } = await client.solve({ definition }, { signal });
  if (ref === undefined) throw new BuildError("not_found", `Cannot read "${filename}": the directory is empty`);
  const data = await ref.readFile(filename, { signal });
  return new BuildFile({ filename, language, data, definition });
}
