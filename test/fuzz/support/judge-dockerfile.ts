import assert from "node:assert/strict";
import { defaultSettings, dockerfileToLlb, lint, outline, parseDockerfile, targets } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import { decodeDefinition } from "@buildkit-ts/llb";

const { signal } = new AbortController();
const config = new TextEncoder().encode('{"os":"linux","architecture":"amd64","config":{"Env":["PATH=/bin","A=b"]}}');
const world = {
  resolveImage: (ref: string) => Promise.resolve({ ref, digest: undefined, config }),
  supports: (): boolean => true,
};
const settings = { ...defaultSettings, buildPlatforms: [{ os: "linux", architecture: "amd64" }] };

/** CPU time that any input of the fuzz tests may take: some times what the slowest of them needs, and far below what naive work would take. */
const cpuLimitMs = 10_000;

/**
 * Does with a text all that can be done without a daemon.
 *
 * Whatever it is, it is either accepted, and then gives a graph that can be read, or refused with a `BuildError`; and it is so soon.
 */
export async function judgeDockerfile(text: string): Promise<void> {
  const data = Buffer.from(text, "latin1");
  const started = process.cpuUsage();
  await accepted(() => parseDockerfile(data));
  await accepted(() => targets(data));
  const { error } = await lint(data, { settings, world, signal });
  if (error !== undefined) assert.equal(typeof error.message, "string");
  await accepted(async () => await outline(data, { settings, world, signal }));
  const result = await accepted(async () => await dockerfileToLlb({ dockerfile: data, world, signal }));
  if (result !== undefined) {
    assert.equal(error, undefined, "what the linter refuses cannot be built, and the other way round");
    if (result.definition.def.length > 0) decodeDefinition(result.definition);
    JSON.parse(new TextDecoder().decode(result.image));
  }
  const { user, system } = process.cpuUsage(started);
  assert.ok((user + system) / 1000 < cpuLimitMs, `took ${(user + system) / 1000} ms of CPU time`);
}

async function accepted<T>(work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    // Anything else is a mistake of ours: a TypeError, a RangeError of a stack that is too deep.
    assert.ok(error instanceof BuildError, error instanceof Error ? (error.stack ?? "") : String(error));
    assert.notEqual(error.code, "internal");
    return undefined;
  }
}
