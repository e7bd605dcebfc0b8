import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MemoryFrontendClient } from "../testing/memory-frontend-client.ts";
import { runDockerfileFrontend } from "../ui/run-frontend.ts";

const { signal } = new AbortController();

async function ask(requestid: string, text: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const client = new MemoryFrontendClient({
    options: { requestid },
    locals: { dockerfile: { Dockerfile: text } },
    images: {},
    capabilities: new Set(["file.base"]),
  });
  return (await runDockerfileFrontend(client, { signal })).metadata;
}

suite("a sub-request of a Dockerfile whose warnings are errors", () => {
  const text = "# check=error=true\nFROM scratch AS A\n";

  for (const id of ["frontend.outline", "frontend.convertllb"]) {
    test(`fails for ${id}, as the build would`, async () => {
      await assert.rejects(ask(id, text), /lint violation found for rules: StageNameCasing/);
    });
  }

  test("is answered for targets, and for lint, which tells of them", async () => {
    assert.ok((await ask("frontend.targets", text)).has("result.json"));
    const found = Buffer.from((await ask("frontend.lint", text)).get("result.json") ?? []).toString();
    assert.match(found, /StageNameCasing/);
  });
});
