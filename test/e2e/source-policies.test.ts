import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { busyboxContext, shellLayer } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

/** Static rules about sources, from both clients' files. */
suite("a source policy", () => {
  const folder = temporaryFolder("source-policies");
  const policyFile = join(folder.path, "policy.json");
  let daemon: TestDaemon;
  let registry: StallingRegistry;
  let files: Server;
  let image: string;
  let digest: string;

  before(async () => {
    registry = await StallingRegistry.start();
    const layer = await shellLayer(folder.path);
    image = registry.putImage("base", layer);
    digest = digestOf(registry.registry.manifest("base", "latest")?.bytes ?? new Uint8Array());
    files = createServer((_request, response) => response.end("a file\n"));
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    files.close();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const url = (): string => `http://127.0.0.1:${(files.address() as AddressInfo).port}/file`;
  const clients = {
    buildctl: async (context: string): Promise<string> => {
      const locals = [`--local=context=${context}`, `--local=dockerfile=${context}`];
      const flags = ["--progress=plain", "--no-cache", `--source-policy-file=${policyFile}`];
      const { code, output } = await daemon.buildctl(["build", "--frontend=dockerfile.v0", ...locals, ...flags]);
      return code === 0 ? `built\n${output}` : output;
    },
    "docker-buildx": async (context: string): Promise<string> => {
      const env = { EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: policyFile };
      const flags = ["--progress=plain", "--no-cache", "--provenance=false"];
      const { code, output } = await daemon.buildx(["build", ...flags, context], { env });
      return code === 0 ? `built\n${output}` : output;
    },
  };

  for (const [client, build] of Object.entries(clients)) {
    const buildWith = async (rules: readonly object[], dockerfile: string): Promise<string> => {
      writeFileSync(policyFile, JSON.stringify({ version: 1, rules }));
      return await build(await busyboxContext(folder.path, dockerfile));
    };

    test(`of ${client} denies an image, wherever a Dockerfile names it`, async () => {
      const rules = [{ action: "DENY", selector: { identifier: `docker-image://${registry.host}/*` } }];
      for (const dockerfile of [
        `FROM ${image}\nRUN true\n`,
        `FROM scratch\nCOPY --from=${image} /bin /bin\n`,
        `FROM ${image} AS unused\nFROM scratch\nCOPY busybox /\nRUN --mount=from=${image},target=/m true\n`,
      ]) {
        const output = await buildWith(rules, dockerfile);
        assert.match(output, /source ".*" denied by policy/);
        assert.doesNotMatch(output, /^built/);
      }
    });

    test(`of ${client} allows what a later rule allows, and nothing else`, async () => {
      const rules = [
        { action: "DENY", selector: { identifier: "*" } },
        { action: "ALLOW", selector: { identifier: `docker-image://${registry.host}/base*` } },
        { action: "ALLOW", selector: { identifier: "local://*" } },
      ];
      assert.match(await buildWith(rules, `FROM ${image}\nRUN echo allowed\n`), /^built[^]*allowed/);
      assert.match(await buildWith(rules, `FROM ${image}\nADD ${url()} /\n`), /denied by policy/);
    });

    test(`of ${client} pins a tag to a digest, which is what is built upon`, async () => {
      const rules = [
        {
          action: "CONVERT",
          selector: { identifier: `docker-image://${registry.host}/base:moving` },
          updates: { identifier: `docker-image://${registry.host}/base@${digest}` },
        },
      ];
      // There is no such tag: only the pinned digest can have been pulled.
      const output = await buildWith(rules, `FROM ${registry.host}/base:moving\nRUN echo pinned\n`);
      assert.match(output, /^built[^]*pinned/);
      assert.match(output, new RegExp(digest));
    });

    test(`of ${client} adds a checksum to a download, which is compared`, async () => {
      const rules = (checksum: string): readonly object[] => [
        {
          action: "CONVERT",
          selector: { identifier: url() },
          updates: { attrs: { "http.checksum": checksum } },
        },
      ];
      const dockerfile = `FROM ${image}\nADD ${url()} /added\nRUN cat /added\n`;
      assert.match(await buildWith(rules(digestOf(Buffer.from("a file\n"))), dockerfile), /^built[^]*a file/);
      assert.match(await buildWith(rules(digestOf(Buffer.from("another"))), dockerfile), /digest mismatch/);
    });

    if (client === "buildctl")
      test("puts a directory in the place of an image that a named context stands for", async () => {
        const name = `${registry.host}/gone:latest`;
        const selector = { identifier: `docker-image://${name}` };
        const rules = [{ action: "CONVERT", selector, updates: { identifier: "local://context" } }];
        writeFileSync(policyFile, JSON.stringify({ version: 1, rules }));
        const stages = `FROM scratch AS replaced\nFROM ${image}\nCOPY --from=replaced /Dockerfile /copied\nRUN cat /copied\n`;
        const context = await busyboxContext(folder.path, stages);
        const { code, output } = await daemon.buildctl([
          "build",
          "--frontend=dockerfile.v0",
          `--local=context=${context}`,
          `--local=dockerfile=${context}`,
          `--opt=context:replaced=docker-image://${name}`,
          "--progress=plain",
          `--source-policy-file=${policyFile}`,
        ]);
        assert.equal(code, 0, output);
        assert.match(output, /FROM scratch AS replaced/);
      });

    test(`of ${client} is named where it cannot be read`, async () => {
      writeFileSync(policyFile, "no policy");
      const output = await build(await busyboxContext(folder.path, `FROM ${image}\n`));
      assert.doesNotMatch(output, /^built/);
      assert.match(output, /polic|invalid character/);
      assert.equal(readFileSync(policyFile, "utf8"), "no policy");
    });
  }
});
