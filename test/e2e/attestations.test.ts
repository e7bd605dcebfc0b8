import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

interface Manifest {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly manifests?: readonly Descriptor[];
  readonly layers?: readonly Descriptor[];
}

interface Predicate {
  readonly buildDefinition: {
    readonly resolvedDependencies: readonly { readonly uri: string; readonly digest: { readonly sha256: string } }[];
    readonly externalParameters: {
      readonly request: { readonly frontend: string; readonly args?: object; readonly secrets?: readonly object[] };
    };
    readonly internalParameters: { readonly buildConfig?: { readonly llbDefinition: readonly object[] } };
  };
  readonly runDetails: {
    readonly metadata: { readonly buildkit_metadata: { readonly layers?: object; readonly source?: object } };
  };
}

interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicate: Predicate;
}

suite("attestations", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("attestations"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    base = await pushBaseImage(folder.path, registry.host);
    daemon = owned.use(await TestDaemon.start(folder.path));
    writeFileSync(join(folder.path, "token"), "s3cret-v4lue");
  });

  const contextOf = (name: string, dockerfile: string): string => {
    const path = join(folder.path, name);
    mkdirSync(path);
    writeFileSync(join(path, "Dockerfile"), dockerfile);
    return path;
  };

  const build = async (...args: string[]): Promise<string> => {
    const result = await daemon.buildx(["build", "--progress=plain", ...args]);
    assert.equal(result.code, 0, `${result.output}\n${daemon.log()}`);
    return result.output;
  };

  const raw = async (image: string): Promise<Manifest> =>
    JSON.parse(await runOk("skopeo", ["inspect", "--tls-verify=false", "--raw", `docker://${image}`])) as Manifest;

  const attestedImage = async (
    name: string,
  ): Promise<{ readonly image: Descriptor; readonly attestation: Manifest; readonly statement: Statement }> => {
    const repository = name.slice(0, name.lastIndexOf(":"));
    const [image, attestation, ...others] = (await raw(name)).manifests ?? [];
    assert.ok(image !== undefined && attestation !== undefined);
    assert.deepEqual(others, []);
    assert.deepEqual(attestation.platform, { architecture: "unknown", os: "unknown" });
    assert.deepEqual(attestation.annotations, {
      "vnd.docker.reference.digest": image.digest,
      "vnd.docker.reference.type": "attestation-manifest",
    });
    const manifest = await raw(`${repository}@${attestation.digest}`);
    const [layer] = manifest.layers ?? [];
    assert.ok(layer !== undefined);
    const path = repository.slice(registry.host.length + 1);
    const response = await fetch(`http://${registry.host}/v2/${path}/blobs/${layer.digest}`);
    const statement = (await response.json()) as Statement;
    assert.equal(layer.mediaType, "application/vnd.in-toto+json");
    assert.equal(layer.annotations?.["in-toto.io/predicate-type"], statement.predicateType);
    assert.deepEqual(statement.subject[0]?.digest, { sha256: image.digest.slice("sha256:".length) });
    return { image, attestation: manifest, statement };
  };

  test("come with every image that docker buildx pushes, as minimal provenance, and other tools accept the index", async () => {
    const name = `${registry.host}/team/app:v1`;
    const context = contextOf(
      "plain",
      `FROM ${base}\nARG SECRETIVE\nRUN --mount=type=secret,id=token test -f /run/secrets/token && echo ok > /ok\n`,
    );
    const secret = ["--secret", `id=token,src=${join(folder.path, "token")}`];
    await build(...secret, "--build-arg", "SECRETIVE=h1dden", "-t", name, "--push", context);
    const { image, attestation, statement } = await attestedImage(name);
    assert.equal(attestation.artifactType, "application/vnd.docker.attestation.manifest.v1+json");
    assert.equal(attestation.subject?.digest, image.digest);
    assert.equal(statement._type, "https://in-toto.io/Statement/v1");
    assert.equal(statement.predicateType, "https://slsa.dev/provenance/v1");
    const { buildDefinition, runDetails } = statement.predicate;
    assert.equal(buildDefinition.externalParameters.request.frontend, "dockerfile.v0");
    assert.match(buildDefinition.resolvedDependencies[0]?.uri ?? "", /library\/busybox@latest\?platform=linux%2F/);
    assert.equal(buildDefinition.internalParameters.buildConfig, undefined);
    assert.equal(buildDefinition.externalParameters.request.secrets, undefined);
    assert.equal(runDetails.metadata.buildkit_metadata.source, undefined);
    const text = JSON.stringify(statement);
    for (const hidden of ["s3cret-v4lue", "h1dden", "SECRETIVE", "token"]) assert.ok(!text.includes(hidden), hidden);
    const config = await runOk("skopeo", ["inspect", "--tls-verify=false", "--config", `docker://${name}`]);
    assert.ok("rootfs" in JSON.parse(config));
    const copy = `oci:${join(folder.path, "copied")}:v1`;
    await runOk("skopeo", [
      "--insecure-policy",
      "copy",
      "-q",
      "--all",
      "--src-tls-verify=false",
      `docker://${name}`,
      copy,
    ]);
    const shown = await daemon.buildx(["imagetools", "inspect", name, "--format", "{{json .Provenance}}"]);
    assert.equal(shown.code, 0, shown.output);
    assert.match(shown.output, /"buildType": *"https:\/\/github\.com\/moby\/buildkit/);
  });

  test("do not get in the way of builds upon an attested image", async () => {
    const name = `${registry.host}/team/upon:v1`;
    const context = contextOf("upon", `FROM ${registry.host}/team/app:v1\nRUN test "$(cat /ok)" = ok\n`);
    await build("-t", name, "--push", context);
    const { statement } = await attestedImage(name);
    const index = await runOk("skopeo", [
      "inspect",
      "--tls-verify=false",
      "--format",
      "{{.Digest}}",
      `docker://${registry.host}/team/app:v1`,
    ]);
    const [material] = statement.predicate.buildDefinition.resolvedDependencies;
    assert.equal(`sha256:${material?.digest.sha256}`, index.trim());
  });

  test("say how the image was made in mode max, with secrets by id only", async () => {
    const name = `${registry.host}/team/app:max`;
    const secret = ["--secret", `id=token,src=${join(folder.path, "token")}`];
    const mode = ["--provenance", "mode=max", "--build-arg", "SECRETIVE=shown"];
    await build(...secret, ...mode, "-t", name, "--push", join(folder.path, "plain"));
    const { statement } = await attestedImage(name);
    const { buildDefinition, runDetails } = statement.predicate;
    const { args, secrets } = buildDefinition.externalParameters.request;
    assert.ok(args !== undefined && "build-arg:SECRETIVE" in args);
    assert.deepEqual(secrets, [{ id: "token", optional: true }]);
    assert.equal(buildDefinition.internalParameters.buildConfig?.llbDefinition.length, 3);
    assert.deepEqual(Object.keys(runDetails.metadata.buildkit_metadata.layers ?? {}), ["step0:0", "step1:0"]);
    assert.ok(runDetails.metadata.buildkit_metadata.source !== undefined);
    assert.ok(!JSON.stringify(statement).includes("s3cret-v4lue"));
  });

  test("leave an image alone where none were asked for, and one that is loaded into an engine", async () => {
    const name = `${registry.host}/team/app:bare`;
    await build("--provenance=false", "-t", name, "--push", join(folder.path, "upon"));
    assert.equal((await raw(name)).manifests, undefined);
    const archive = join(folder.path, "app.tar");
    await build("-t", name, "--output", `type=docker,dest=${archive}`, join(folder.path, "upon"));
    const inspected = await runOk("skopeo", ["inspect", "--raw", `docker-archive:${archive}`]);
    assert.equal((JSON.parse(inspected) as Manifest).manifests, undefined);
    // Other clients let one export with attestations for an engine: it takes the image, and leaves the rest.
    const attested = join(folder.path, "attested.tar");
    const local = ["context", "dockerfile"].flatMap((one) => ["--local", `${one}=${join(folder.path, "upon")}`]);
    const output = ["--output", `type=docker,dest=${attested},name=app:attested`];
    const how = ["--frontend", "dockerfile.v0", "--opt", "attest:provenance=mode=max"];
    await daemon.buildctlOk(["build", ...how, ...local, ...output]);
    const config = await runOk("skopeo", ["inspect", "--config", `docker-archive:${attested}:app:attested`]);
    assert.ok("rootfs" in JSON.parse(config));
    assert.match(await runOk("tar", ["xOf", attested, "index.json"]), /image\.index\.v1\+json/);
  });

  test("are files beside local outputs, about each of the files", async () => {
    const out = join(folder.path, "out");
    const context = contextOf("files", "FROM scratch\nCOPY Dockerfile /dir/a\n");
    await build("--provenance", "mode=min", "--output", `type=local,dest=${out}`, context);
    const statement = JSON.parse(readFileSync(join(out, "provenance.json"), "utf8")) as Statement;
    const hex = createHash("sha256")
      .update(readFileSync(join(out, "dir/a")))
      .digest("hex");
    assert.deepEqual(statement.subject, [{ name: "dir/a", digest: { sha256: hex } }]);
    const archive = join(folder.path, "out.tar");
    const named = "attestation-prefix=about-";
    await build("--provenance", "mode=min", "--output", `type=tar,dest=${archive},${named}`, context);
    const listed = await runOk("tar", ["tf", archive]);
    assert.deepEqual(listed.trim().split("\n"), ["dir/", "dir/a", "about-provenance.json"]);
    // What buildx asks for by default is for images only.
    const plain = join(folder.path, "plain-out");
    await build("--output", `type=local,dest=${plain}`, context);
    assert.ok(!existsSync(join(plain, "provenance.json")));
  });

  test("fail the build where they shall name all materials and cannot", async () => {
    const strict = "type=provenance,mode=min,complete-materials=true";
    const result = await daemon.buildx(["build", "--attest", strict, join(folder.path, "files")]);
    assert.notEqual(result.code, 0);
    assert.match(result.output, /provenance materials are incomplete/);
    assert.match(result.output, /- context\s+reason: local_source/);
  });

  test("are kept with the record of each build, in full", async () => {
    const metadata = join(folder.path, "metadata.json");
    await build("--metadata-file", metadata, "-t", "app", join(folder.path, "upon"));
    const written = JSON.parse(readFileSync(metadata, "utf8")) as Readonly<
      Record<string, { readonly buildType?: string }>
    >;
    assert.match(written["buildx.build.provenance"]?.buildType ?? "", /slsa-definitions|mobyproject/);
    const listed = await daemon.buildx(["history", "ls", "--format", "{{.Ref}}"]);
    assert.equal(listed.code, 0, listed.output);
    const ref = listed.output.trim().split("\n")[0]?.split("/").at(-1) ?? "";
    const shown = await daemon.buildx(["history", "inspect", "attachment", ref, "--type", "provenance"]);
    assert.equal(shown.code, 0, shown.output);
    assert.match(shown.output, /"llbDefinition"/);
    assert.match(shown.output, /"uri": "pkg:docker|"locals"/);
    assert.match(shown.output, /"sysUsage": \[\s+\{\s+"timestamp"/);
  });

  test("list what is in the image and in the stages that ask for it, as a scanner image found it", async () => {
    const generator = `${registry.host}/team/scanner:v1`;
    const scanner = contextOf("scanner", `FROM ${base}\nCOPY scan.sh /scan.sh\nENTRYPOINT ["/bin/sh", "/scan.sh"]\n`);
    writeFileSync(join(scanner, "scan.sh"), scanScript);
    await build("--provenance=false", "-t", generator, "--push", scanner);
    const context = contextOf(
      "scanned",
      `FROM ${base} AS tools\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN echo tool > /tool\nFROM ${base}\nCOPY --from=tools /tool /found\n`,
    );
    const name = `${registry.host}/team/scanned:v1`;
    const output = await build("--sbom", `generator=${generator},GREETING=hi`, "-t", name, "--push", context);
    assert.match(output, /\[linux\/\w+\] generating sbom using localhost/);
    const [image, attestation] = (await raw(name)).manifests ?? [];
    assert.ok(image !== undefined && attestation !== undefined);
    const repository = `${registry.host}/team/scanned`;
    const layers = (await raw(`${repository}@${attestation.digest}`)).layers ?? [];
    assert.deepEqual(
      layers.map((layer) => layer.annotations?.["in-toto.io/predicate-type"]),
      ["https://spdx.dev/Document", "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"],
    );
    const documents: Scan[] = [];
    for (const { digest } of layers.slice(0, 2)) {
      const response = await fetch(`http://${registry.host}/v2/team/scanned/blobs/${digest}`);
      documents.push((await response.json()) as Scan);
    }
    const [core, extra] = documents.map(({ predicate }) => predicate);
    const top = (await raw(`${repository}@${image.digest}`)).layers?.at(-1)?.digest;
    assert.deepEqual(core?.files, [{ fileName: "/found", comment: `layerID: ${top}` }, { fileName: "/not-there" }]);
    assert.deepEqual([core?.name, extra?.name], ["hi", "tools"]);
    assert.deepEqual(extra?.files, [{ fileName: "/tool" }]);
    const shown = await daemon.buildx(["imagetools", "inspect", name, "--format", "{{json .SBOM}}"]);
    assert.equal(shown.code, 0, shown.output);
    assert.match(shown.output, /SPDX-2\.3/);
  });

  test("of what is in an image fail the build if there is no such scanner", async () => {
    const generator = `${registry.host}/team/none:v1`;
    const result = await daemon.buildx(["build", "--sbom", `generator=${generator}`, join(folder.path, "scanned")]);
    assert.notEqual(result.code, 0);
    assert.match(result.output, /team\/none:v1: not found/);
  });
});

interface Scan {
  readonly predicate: { readonly name: string; readonly files: readonly object[] };
}

/** Finds one file of each tree. */
const scanScript = `set -e
write() {
  head='{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":[]'
  echo "$head,\\"predicate\\":{\\"spdxVersion\\":\\"SPDX-2.3\\",\\"name\\":\\"$2\\",\\"files\\":[$3]}}" > "$BUILDKIT_SCAN_DESTINATION/$1.spdx.json"
}
test -f "$BUILDKIT_SCAN_SOURCE/found"
echo scratch > /tmp/works
write "$(basename "$BUILDKIT_SCAN_SOURCE")" "$BUILDKIT_SCAN_GREETING" '{"fileName":"/found"},{"fileName":"/not-there"}'
for extra in "$BUILDKIT_SCAN_SOURCE_EXTRAS"/*; do
  test -f "$extra/tool"
  name=$(basename "$extra")
  write "$name" "\${name#sbom-}" '{"fileName":"/tool"}'
done
`;
