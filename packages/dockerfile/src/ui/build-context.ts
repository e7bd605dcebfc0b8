import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import { copy, git, http, local, type SourceMap, type State, scratch, stateFromDefinition } from "@buildkit-ts/llb";
import { type GitRef, parseGitRef } from "../convert/git-ref.ts";
import { readIgnoreFile } from "../convert/ignore-matcher.ts";
import type { FrontendClient, FrontendRef } from "../frontend-client.ts";
import { prefixError } from "../text/located-error.ts";
import { isArchive } from "./archive-header.ts";

const ignoreFile = ".dockerignore";

/** Where the Dockerfile and the files to copy come from. */
interface Origin {
  /** Undefined for a directory of the client. */
  readonly context: State | undefined;
  /** Undefined for a directory of the client. */
  readonly dockerfile: State | undefined;
  readonly filename: string;
}

/** The Dockerfile with what is needed to point into it. */
export interface Entrypoint {
  readonly data: Uint8Array;
  readonly sourceMap: SourceMap;
  /** Ignore file that belongs to this Dockerfile alone. */
  readonly ignore: Uint8Array | undefined;
}

/** The client's build context: a directory, a repository, a file or an archive on the web, or an input. */
export class BuildContext {
  readonly #client: FrontendClient;
  readonly #contextName: string;
  readonly #dockerfileName: string;
  #origin: Promise<Origin> | undefined;
  #ignore: Promise<readonly string[]> | undefined;
  #ownIgnore: { readonly name: string; readonly data: Uint8Array } | undefined;

  constructor(client: FrontendClient) {
    this.#client = client;
    this.#contextName = "context";
    this.#dockerfileName = client.options["dockerfilekey"] ?? "dockerfile";
  }

  /** The session that has the directory. */
  sessionFor(name: string): string {
    return this.#client.options[`local-sessionid:${name}`] ?? this.#client.sessionId;
  }

  /** The context if it is no directory of the client. */
  async remote(options: { readonly signal: AbortSignal }): Promise<State | undefined> {
    return (await this.#resolve(options)).context;
  }

  /** The client's directory. */
  local(followPaths: readonly string[] | undefined, excludes: readonly string[]): State {
    return local(this.#contextName, {
      sessionId: this.sessionFor(this.#contextName),
      excludePatterns: excludes,
      sharedKeyHint: this.#contextName,
      customName: "[internal] load build context",
      ...(followPaths !== undefined && { followPaths }),
    });
  }

  /** Reads the Dockerfile. */
  async readEntrypoint(language: string, options: { readonly signal: AbortSignal }): Promise<Entrypoint> {
    const origin = await this.#resolve(options);
    const { filename } = origin;
    const state = origin.dockerfile ?? this.#localDockerfile(filename);
    const definition = state.marshal();
    const { ref } = await this.#client.solve({ definition }, options).catch((error: unknown) => {
      throw prefixError("failed to resolve dockerfile", error);
    });
    if (ref === undefined)
      throw new BuildError("not_found", `failed to read dockerfile: open ${filename}: no such file or directory`);
    const data = await readDockerfile(ref, filename, options);
    const ignoreName = `${filename}${ignoreFile}`;
    const ignore = await ref.readFile(ignoreName, options).catch(() => undefined);
    options.signal.throwIfAborted();
    if (ignore !== undefined) this.#ownIgnore = { name: ignoreName, data: ignore };
    return { data, ignore, sourceMap: { filename, language, data, definition } };
  }

  #localDockerfile(filename: string): State {
    const lower = posix.join(posix.dirname(filename), "dockerfile");
    const isDefault = posix.basename(filename) === "Dockerfile";
    return local(this.#dockerfileName, {
      followPaths: [filename, `${filename}${ignoreFile}`, ...(isDefault ? [lower] : [])],
      sessionId: this.sessionFor(this.#dockerfileName),
      sharedKeyHint: this.#dockerfileName,
      customName: `[internal] load build definition from ${filename}`,
      differ: { type: "none", required: false },
    });
  }

  /** Patterns of the ignore file: that of the Dockerfile, else the one at the context's root. */
  async ignorePatterns(options: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    const { context } = await this.#resolve(options);
    if (context !== undefined) return [];
    this.#ignore ??= this.#loadIgnore(options);
    return await this.#ignore;
  }

  async #loadIgnore(options: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    if (this.#ownIgnore !== undefined) return readIgnoreFile(this.#ownIgnore.name, this.#ownIgnore.data);
    const state = local(this.#contextName, {
      sessionId: this.sessionFor(this.#contextName),
      followPaths: [ignoreFile],
      sharedKeyHint: `${this.#contextName}-${ignoreFile}`,
      customName: `[internal] load ${ignoreFile}`,
      differ: { type: "none", required: false },
    });
    const { ref } = await this.#client.solve({ definition: state.marshal() }, options);
    // Most contexts have none.
    const data = await ref?.readFile(ignoreFile, options).catch(() => undefined);
    options.signal.throwIfAborted();
    return data === undefined ? [] : readIgnoreFile(ignoreFile, data);
  }

  async #resolve(options: { readonly signal: AbortSignal }): Promise<Origin> {
    this.#origin ??= this.#findOrigin(options);
    return await this.#origin;
  }

  async #findOrigin(options: { readonly signal: AbortSignal }): Promise<Origin> {
    const origin = await this.#findUnscoped(options);
    const subdir = this.#client.options["contextsubdir"];
    // An own local for the Dockerfile is meant even where the context has one too.
    const dockerfile = this.#client.options["dockerfilekey"] === undefined ? origin.dockerfile : undefined;
    if (origin.context === undefined || subdir === undefined) return { ...origin, dockerfile };
    const action = copy(origin.context, { src: subdir, dest: "/" }, { copyDirContentsOnly: true });
    return { ...origin, dockerfile, context: scratch().file(action) };
  }

  async #findUnscoped(options: { readonly signal: AbortSignal }): Promise<Origin> {
    const attributes = this.#client.options;
    const filename = attributes["filename"] ?? "Dockerfile";
    const value = attributes[attributes["contextkey"] ?? "context"] ?? "";
    const repository = parseGitRef(value);
    if (repository !== undefined) {
      const context = gitContext(value, repository, {
        keepGitDir: parseBool(attributes["build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR"] ?? "") === true,
        commitTime: (attributes["build-arg:SOURCE_DATE_EPOCH"] ?? "") !== "",
      });
      return { context, dockerfile: context, filename };
    }
    if (/^https?:\/\//.test(value)) return await this.#webContext(value, filename, options);
    const inputs = await this.#client.inputs();
    const input = inputs.get("context");
    const dockerfile = inputs.get(this.#dockerfileName);
    return {
      context: input && stateFromDefinition(input),
      dockerfile: dockerfile && stateFromDefinition(dockerfile),
      filename,
    };
  }

  async #webContext(url: string, filename: string, options: { readonly signal: AbortSignal }): Promise<Origin> {
    const name = "context";
    const file = http(url, { filename: name, customName: "[internal] load remote build context" });
    const { ref } = await this.#client.solve({ definition: file.marshal() }, options).catch((error: unknown) => {
      throw prefixError("failed to resolve httpcontext", error);
    });
    const header = await ref?.readFile(name, { ...options, offset: 0, length: 1024 }).catch((error: unknown) => {
      throw prefixError("failed to read downloaded context", error);
    });
    // One file that is no archive is the Dockerfile itself.
    if (header === undefined || !isArchive(header)) return { context: file, dockerfile: file, filename: name };
    const context = scratch().file(copy(file, { src: `/${name}`, dest: "/" }, { attemptUnpack: true }));
    return { context, dockerfile: context, filename };
  }
}

async function readDockerfile(
  ref: FrontendRef,
  filename: string,
  options: { readonly signal: AbortSignal },
): Promise<Uint8Array> {
  try {
    return await ref.readFile(filename, options);
  } catch (error) {
    options.signal.throwIfAborted();
    const failure = prefixError("failed to read dockerfile", error);
    if (posix.basename(filename) !== "Dockerfile") throw failure;
    return await ref.readFile(posix.join(posix.dirname(filename), "dockerfile"), options).catch(() => {
      throw failure;
    });
  }
}

/** A checkout as a context. */
export function gitContext(
  text: string,
  repository: GitRef,
  options: { readonly keepGitDir?: boolean; readonly commitTime?: boolean } = {},
): State {
  const mtime = repository.mtime || (options.commitTime === true ? "commit" : "");
  return git(repository.remote, {
    ref: repository.ref,
    subdir: repository.subdir,
    customName: `[internal] load git source ${text}`,
    keepGitDir: repository.keepGitDir === true || options.keepGitDir === true,
    ...(repository.checksum !== "" && { checksum: repository.checksum }),
    ...(repository.submodules === false && { skipSubmodules: true }),
    ...(mtime !== "" && { mtime }),
    ...(repository.fetchByCommit && { fetchByCommit: true }),
  });
}
