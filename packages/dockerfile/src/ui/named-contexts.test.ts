import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { MemoryFrontendClient } from "../testing/memory-frontend-client.ts";
import { runDockerfileFrontend } from "./run-frontend.ts";

const { signal } = new AbortController();
const alpine = "docker.io/library/alpine:latest";

async function build(converted: Readonly<Record<string, string>>): Promise<string[]> {
  const client = new MemoryFrontendClient({
    options: { "context:replace": `docker-image://${alpine}` },
    locals: { dockerfile: { Dockerfile: "FROM scratch\nCOPY --from=replace /foo /\n" }, test: {} },
    images: {},
    capabilities: new Set(["source.local.followpaths", "file.base"]),
    converted,
  });
  await runDockerfileFrontend(client, { signal });
  const ops = client.solves.at(-1)?.definition?.def.map((bytes) => fromBinary(opspb.OpSchema, bytes).op) ?? [];
  return ops.flatMap((op) => (op.case === "source" ? [op.value.identifier] : []));
}

suite("a named context that a policy converts", () => {
  test("is loaded as what it became", async () => {
    assert.deepEqual(await build({ [alpine]: "local://test" }), ["local://test"]);
    assert.deepEqual(await build({ [alpine]: "https://host/repo.git" }), ["git://host/repo.git"]);
  });

  test("is refused when the policy never comes to an end", async () => {
    await assert.rejects(build({ [alpine]: `docker-image://${alpine}` }), {
      code: "invalid_argument",
      message: /context recursion limit exceeded; this may indicate a cycle in the provided source policies/,
    });
  });

  test("is refused where it became nothing that can be loaded", async () => {
    await assert.rejects(build({ [alpine]: "unknown://x" }), { message: /unsupported context source unknown/ });
  });
});
