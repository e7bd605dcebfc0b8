import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { image } from "@buildkit-ts/llb";
import { digestOf } from "@buildkit-ts/oci";
import { RpcError } from "@buildkit-ts/session/rpc";
import { buildContext } from "./build-context.ts";
import { readBuildFile } from "./build-file.ts";
import { buildImages } from "./build-images.ts";
import type { Frontend } from "./frontend.ts";
import { FrontendClient } from "./frontend-client.ts";
import { returnFrontend } from "./return-frontend.ts";
import { settingFromEnvironment } from "./stdio/frontend-setting.ts";
import { MemoryGateway, type MemoryGatewayOptions } from "./testing/memory-gateway.ts";

const { signal } = new AbortController();

async function returnedBy(
  frontend: Frontend,
  options: MemoryGatewayOptions & { readonly attributes?: Readonly<Record<string, string>> } = {},
) {
  await using gateway = new MemoryGateway(options);
  const setting = { options: options.attributes ?? {}, sessionId: "s1", product: "" };
  await returnFrontend(frontend, { gateway: gateway.client, setting, signal });
  const [returned] = gateway.returned;
  assert.ok(returned !== undefined && gateway.returned.length === 1);
  return { returned, solves: gateway.solves, warnings: gateway.warnings };
}

function sourceOps(def: readonly Uint8Array[] = []): opspb.SourceOp[] {
  return def
    .map((bytes) => fromBinary(opspb.OpSchema, bytes).op)
    .flatMap((op) => (op.case === "source" ? [op.value] : []));
}

suite("settingFromEnvironment()", () => {
  test("reads options whose values hold equals signs, and ignores what is none", () => {
    const setting = settingFromEnvironment({
      BUILDKIT_FRONTEND_OPT_0: "build-arg:A=b=c",
      BUILDKIT_FRONTEND_OPT_1: "no-cache=",
      BUILDKIT_FRONTEND_OPT_2: "=x",
      BUILDKIT_SESSION_ID: "s",
      PATH: "/bin",
    });
    assert.deepEqual(setting, { options: { "build-arg:A": "b=c", "no-cache": "" }, sessionId: "s", product: "" });
  });
});

suite("readBuildFile()", () => {
  const build: Frontend = async (client) => {
    const file = await readBuildFile(client, { defaultName: "Recipe", language: "Recipe", signal });
    if (file.text.includes("oops")) throw file.error("no such ingredient", { first: 2 });
    return await client.solve({ definition: image("x", { locations: [file.location(1)] }).marshal() }, { signal });
  };

  test("reads the file that the option names from the client's directory", async () => {
    const { solves } = await returnedBy(build, {
      attributes: { filename: "sub/Other" },
      locals: { dockerfile: { "sub/Other": "salt" } },
    });
    const [local] = sourceOps(solves[0]?.Definition?.def);
    assert.equal(local?.identifier, "local://dockerfile");
    assert.equal(local.attrs["local.followpaths"], '["sub/Other"]');
    assert.equal(local.attrs["local.session"], "s1");
    assert.equal(solves[1]?.Definition?.Source?.infos[0]?.filename, "sub/Other");
  });

  test("gives errors that point into the file", async () => {
    const { returned } = await returnedBy(build, { locals: { dockerfile: { Recipe: "salt\noops\n" } } });
    assert.equal(returned.error?.message, "no such ingredient");
    // Any other code's name is printed before the text by Go's clients.
    assert.equal(returned.error.code, 2);
    const [detail] = returned.error.details;
    assert.equal(detail?.typeUrl, "github.com/moby/buildkit/errdefs.Source+json");
    const { info, ranges } = JSON.parse(Buffer.from(detail.value).toString()) as {
      info: { filename: string };
      ranges: { start: { line: number } }[];
    };
    assert.equal(info.filename, "Recipe");
    assert.equal(ranges[0]?.start.line, 2);
  });

  test("passes the daemon's failure on when the file is missing", async () => {
    const { returned } = await returnedBy(build);
    assert.match(returned.error?.message ?? "", /open Recipe: no such file/);
  });
});

suite("buildContext()", () => {
  const identifier = async (context: string): Promise<string | undefined> => {
    await using gateway = new MemoryGateway();
    const setting = { options: context === "" ? {} : { context }, sessionId: "s1", product: "" };
    const client = await FrontendClient.open(gateway.client, setting, { signal });
    const definition = (await buildContext(client)).marshal();
    return sourceOps(definition.def)[0]?.identifier;
  };

  test("is the client's directory, or a repository with its reference and subdirectory", async () => {
    assert.equal(await identifier(""), "local://context");
    assert.equal(await identifier("https://host/a/b.git#v1:sub"), "git://host/a/b.git#v1:sub");
  });

  test("refuses what it does not know", async () => {
    await assert.rejects(identifier("https://host/a.tar.gz"), /takes directories and git/);
  });
});

suite("buildImages()", () => {
  const build: Frontend = async (client) =>
    await buildImages(
      client,
      async ({ architecture }) => ({ state: image(architecture), config: { config: { Cmd: [architecture] } } }),
      { signal },
    );
  const json = (bytes: Uint8Array | undefined): unknown => JSON.parse(Buffer.from(bytes ?? []).toString());

  test("returns one ref with its config where one platform is wanted", async () => {
    const { returned } = await returnedBy(build);
    assert.equal(returned.result?.result.case, "ref");
    const config = json(returned.result.metadata["containerimage.config"]);
    assert.deepEqual(config, { config: { Cmd: ["amd64"] }, os: "linux", architecture: "amd64" });
  });

  test("returns a ref for each platform, under the ids that the config names have too", async () => {
    const { returned } = await returnedBy(build, { attributes: { platform: "linux/amd64,linux/arm/v7" } });
    const { result } = returned.result ?? {};
    assert.equal(result?.case, "refs");
    assert.deepEqual(Object.keys(result.value.refs).toSorted(), ["linux/amd64", "linux/arm/v7"]);
    assert.ok(returned.result?.metadata["containerimage.config/linux/arm/v7"] !== undefined);
  });

  test("imports the caches that the client names, and refuses what is no list of them", async () => {
    const imports = '[{"Type":"registry","Attrs":{"ref":"r/c"}}]';
    const { solves } = await returnedBy(build, { attributes: { "cache-imports": imports } });
    assert.deepEqual(
      solves[0]?.CacheImports.map(({ Type, Attrs }) => [Type, Attrs]),
      [["registry", { ref: "r/c" }]],
    );
    const { returned } = await returnedBy(build, { attributes: { "cache-imports": "{" } });
    assert.equal(returned.error?.message, "failed to parse cache-imports");
  });

  test("returns ids to daemons that know no refs with definitions", async () => {
    const { returned } = await returnedBy(build, { capabilities: [] });
    assert.deepEqual(returned.result?.result, { case: "refDeprecated", value: "ref1" });
  });
});

suite("FrontendClient", () => {
  test("warns only daemons that show warnings", async () => {
    const warn: Frontend = async (client) => {
      await client.warn(digestOf("x"), { level: 1, short: "beware", detail: [], url: "", ranges: [] });
      return await client.solve({}, { signal });
    };
    assert.equal((await returnedBy(warn)).warnings.length, 1);
    assert.equal((await returnedBy(warn, { capabilities: [] })).warnings.length, 0);
  });

  test("resolves an image's config by its short name", async () => {
    await using gateway = new MemoryGateway({ images: { "docker.io/library/x:latest": '{"os":"linux"}' } });
    const setting = { options: {}, sessionId: "", product: "" };
    const client = await FrontendClient.open(gateway.client, setting, { signal });
    const { config, ref } = await client.resolveImage("x", {}, { signal });
    assert.deepEqual([Buffer.from(config).toString(), ref], ['{"os":"linux"}', "docker.io/library/x:latest"]);
    await assert.rejects(client.resolveImage("y", {}, { signal }), (error) => {
      return error instanceof RpcError && error.code === "not_found";
    });
  });
});
