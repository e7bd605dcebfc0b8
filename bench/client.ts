import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { runCommand } from "./run-command.ts";

/** A build of a Dockerfile as every client can be asked for. */
export interface BuildRequest {
  /** The context; its `Dockerfile` is built unless `dockerfile` names another folder. */
  readonly context: string;
  readonly dockerfile?: string;
  /** Sends this folder under a name of its own, as the Dockerfile's named context `files`. */
  readonly named?: { readonly name: string; readonly folder: string };
  /** In the syntax of `--output`; without it the result stays in the daemon. */
  readonly output?: string;
  readonly noCache?: boolean;
  /** The stage; the last one unless given. */
  readonly target?: string;
  /** Only has the Dockerfile converted and looked at by the linter; nothing is built. */
  readonly checks?: boolean;
}

/** The client's side of one daemon: the same binary asks both daemons. */
export interface Client {
  build(request: BuildRequest): Promise<void>;
  /** Builds a definition from a file, without a result; only where `solvesDefinitions`. */
  solve(path: string): Promise<void>;
  readonly solvesDefinitions: boolean;
  /** Removes all that the daemon can build or pull again. */
  prune(): Promise<void>;
}

/** Where a client may keep files of its own, and how long each of its calls may take. */
export interface ClientOptions {
  readonly directory: string;
  readonly limitMs: number;
}

/** `binary` is a buildctl or, if so named, a docker-buildx. */
export async function connectClient(
  binary: string,
  address: string,
  { directory, limitMs }: ClientOptions,
): Promise<Client> {
  if (basename(binary).includes("buildx")) return await connectBuildx(binary, address, { directory, limitMs });
  const ask = async (...args: string[]): Promise<void> =>
    void (await runCommand(binary, ["--addr", address, ...args], { limitMs }));
  return {
    solvesDefinitions: true,
    solve: async (path): Promise<void> =>
      void (await runCommand(binary, ["--addr", address, "build", "--progress=plain"], { input: path, limitMs })),
    build: async (request): Promise<void> =>
      await ask(
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        ...(request.checks === true ? ["--opt=requestid=frontend.lint"] : []),
        ...(request.target === undefined ? [] : [`--opt=target=${request.target}`]),
        `--local=context=${request.context}`,
        `--local=dockerfile=${dockerfileOf(request)}`,
        ...(request.named === undefined
          ? []
          : [
              `--local=${request.named.name}=${request.named.folder}`,
              `--opt=context:files=local:${request.named.name}`,
            ]),
        ...commonFlags(request),
      ),
    prune: async (): Promise<void> => await ask("prune", "--all"),
  };
}

async function connectBuildx(binary: string, address: string, { directory, limitMs }: ClientOptions): Promise<Client> {
  const config = join(directory, "buildx");
  mkdirSync(config, { recursive: true });
  const env = { BUILDX_CONFIG: config, BUILDX_NO_DEFAULT_ATTESTATIONS: "1" };
  const ask = async (...args: string[]): Promise<void> => void (await runCommand(binary, args, { env, limitMs }));
  await ask("create", "--name=bench", "--driver=remote", address);
  return {
    solvesDefinitions: false,
    solve: async (path): Promise<void> => {
      throw new Error(`docker-buildx cannot build the definition ${path}`);
    },
    build: async (request): Promise<void> =>
      await ask(
        "build",
        "--builder=bench",
        ...(request.checks === true ? ["--call=check"] : []),
        ...(request.target === undefined ? [] : [`--target=${request.target}`]),
        "--progress=plain",
        `--file=${join(dockerfileOf(request), "Dockerfile")}`,
        // Its sessions are known by the name of the context's folder.
        ...(request.named === undefined ? [] : [`--build-context=files=${request.named.folder}`]),
        ...commonFlags(request),
        request.context,
      ),
    prune: async (): Promise<void> => await ask("prune", "--builder=bench", "--all", "--force"),
  };
}

function dockerfileOf({ context, dockerfile = context }: BuildRequest): string {
  return dockerfile;
}

/** What both clients spell alike. */
function commonFlags({ output, noCache = false }: BuildRequest): string[] {
  return [...(output === undefined ? [] : [`--output=${output}`]), ...(noCache ? ["--no-cache"] : [])];
}
