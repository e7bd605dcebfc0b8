import { readFileSync } from "node:fs";
import { BuildkitClient, type ClientTls } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ParsedArguments } from "./arguments/parse-arguments.ts";
import type { CommandContext } from "./command.ts";
import { defaultAddress } from "./global-flags.ts";

/**
 * Connects to the daemon that flags and environment name.
 *
 * If they name none and nobody listens at the usual place, the user's own daemon is used, which with `startsDaemon` is
 * started first if need be.
 */
export async function openClient(
  { globals, signal }: Pick<CommandContext, "globals" | "signal">,
  options: { readonly startsDaemon?: boolean } = {},
): Promise<BuildkitClient> {
  const named = namedAddress(globals);
  const timeoutMs = globals.number("timeout") * 1000;
  const tls = readTls(globals);
  const connectOptions = { timeoutMs, signal, ...(tls !== undefined && { tls }) };
  const client = await connect(named, { ...connectOptions, startsDaemon: options.startsDaemon === true });
  if (globals.boolean("wait")) {
    await client.waitReady({
      signal: timeoutMs > 0 ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) : signal,
    });
  }
  return client;
}

/** The address that flag or environment give. */
export function namedAddress(globals: ParsedArguments): string | undefined {
  return globals.string("addr") || process.env["BUILDKIT_HOST"] || undefined;
}

async function connect(
  named: string | undefined,
  options: {
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly startsDaemon: boolean;
    readonly tls?: ClientTls;
  },
): Promise<BuildkitClient> {
  if (named !== undefined) return await BuildkitClient.connect(named, options);
  try {
    return await BuildkitClient.connect(defaultAddress, options);
  } catch (error) {
    options.signal.throwIfAborted();
    const { findOwnDaemon, startOwnDaemon } = await import("./own-daemon.ts");
    const own = await findOwnDaemon(options);
    if (own !== undefined) return own;
    if (options.startsDaemon) return await startOwnDaemon(options);
    throw error;
  }
}

function readTls(globals: ParsedArguments): ClientTls | undefined {
  const directory = globals.string("tlsdir");
  const single = { ca: globals.string("tlscacert"), cert: globals.string("tlscert"), key: globals.string("tlskey") };
  const serverName = globals.string("tlsservername");
  if (directory !== "" && (single.ca !== "" || single.cert !== "" || single.key !== "")) {
    throw new BuildError("invalid_argument", "cannot specify tlsdir and tlscacert/tlscert/tlskey at the same time");
  }
  const files =
    directory === ""
      ? single
      : {
          ca: oneOf(directory, "ca.pem", "ca.crt"),
          cert: oneOf(directory, "cert.pem", "tls.crt"),
          key: oneOf(directory, "key.pem", "tls.key"),
        };
  if (files.ca === "" && files.cert === "" && files.key === "") return undefined;
  return {
    ...(serverName !== "" && { serverName }),
    ...(files.ca !== "" && { ca: readPem(files.ca) }),
    ...(files.cert !== "" && { cert: readPem(files.cert) }),
    ...(files.key !== "" && { key: readPem(files.key) }),
  };
}

function oneOf(directory: string, ...names: readonly [string, string]): string {
  for (const name of names) {
    const path = `${directory}/${name}`;
    try {
      readFileSync(path);
      return path;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  const message = `directory did not contain one of the needed files: ${names.join(" or ")}`;
  throw new BuildError("invalid_argument", message);
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot read certificate file "${path}"`, { cause: error });
  }
}
