import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import { Secrets } from "@buildkit-ts/api/buildkit/secrets";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Attachable } from "./client-session.ts";

/** The most that a secret may hold. */
export const maxSecretBytes: number = 500 * 1024;

/** Where a secret comes from: a file, an environment variable, or a variable of its id if set and a file otherwise. */
export interface SecretSource {
  readonly id: string;
  readonly filePath?: string;
  readonly env?: string;
}

/**
 * Gives the daemon secrets when it asks for them.
 *
 * @throws {BuildError} `not_found`, for a file that is not there; `invalid_argument`, for one that is too large.
 */
export function provideSecrets(sources: readonly SecretSource[]): Attachable {
  const byId = new Map<string, SecretSource>();
  for (const source of sources) byId.set(source.id, resolveSource(source));
  return (server) => {
    server.handleUnary(Secrets.method.getSecret, async ({ ID: id }) => {
      const source = byId.get(id);
      if (source === undefined) throw new BuildError("not_found", "not found");
      const data = await readSecret(source);
      if (data.length > maxSecretBytes)
        throw new BuildError(
          "invalid_argument",
          `invalid secret size: ${JSON.stringify(id)} has more than ${maxSecretBytes} bytes`,
        );
      return { data };
    });
  };
}

function resolveSource(source: SecretSource): SecretSource {
  if (source.id === "") throw new BuildError("invalid_argument", "secret missing ID");
  let resolved = source;
  if (source.env === undefined && source.filePath === undefined) {
    const isVariable = process.env[source.id] !== undefined;
    resolved = isVariable ? { id: source.id, env: source.id } : { id: source.id, filePath: source.id };
  }
  if (resolved.filePath !== undefined) checkFile(resolved.filePath);
  return resolved;
}

function checkFile(path: string): void {
  let size: number;
  try {
    ({ size } = statSync(path));
  } catch (error) {
    throw new BuildError("not_found", `failed to stat ${path}: ${messageOf(error)}`, { cause: error });
  }
  if (size > maxSecretBytes) {
    throw new BuildError("invalid_argument", `secret ${path} too big. max size 500KB`);
  }
}

async function readSecret(source: SecretSource): Promise<Uint8Array> {
  if (source.env !== undefined) return Buffer.from(process.env[source.env] ?? "");
  return await readAtMost(source.filePath ?? "", maxSecretBytes);
}

/** The file may be a pipe, or have grown since it was looked at: nothing is known of its size before it is read. */
async function readAtMost(path: string, limit: number): Promise<Uint8Array> {
  await using file = await open(path, "r");
  const bytes = Buffer.alloc(limit + 1);
  for (let length = 0; ; ) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
    length += bytesRead;
    if (bytesRead === 0 || length === bytes.length) return bytes.subarray(0, length);
  }
}

function messageOf(error: unknown): string {
  const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
  return isMissing ? "no such file or directory" : String(error);
}
