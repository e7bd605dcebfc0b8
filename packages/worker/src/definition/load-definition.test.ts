import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { Definition } from "@buildkit-ts/llb";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { Vertex } from "@buildkit-ts/solver";
import { KnownOps } from "./known-ops.ts";
import { operationOf } from "./llb-operation.ts";
import { ignoredCacheMounts, type LoadOptions, loadDefinition } from "./load-definition.ts";

type OpInit = MessageInitShape<typeof opspb.OpSchema>;

class Graph {
  readonly def: Uint8Array[] = [];
  readonly metadata = new Map<Digest, opspb.OpMetadata>();

  add(op: OpInit, metadata?: MessageInitShape<typeof opspb.OpMetadataSchema>): Digest {
    const bytes = toBinary(opspb.OpSchema, create(opspb.OpSchema, op));
    const digest = digestOf(bytes);
    this.def.push(bytes);
    if (metadata !== undefined) this.metadata.set(digest, create(opspb.OpMetadataSchema, metadata));
    return digest;
  }

  finish(digest: Digest): Definition {
    this.add({ inputs: [{ digest }] });
    return { def: this.def, metadata: this.metadata, source: undefined };
  }
}

const options: LoadOptions = { signal: new AbortController().signal, entitlements: new Set() };
const image: OpInit = {
  op: { case: "source", value: { identifier: "docker-image://docker.io/library/busybox:latest" } },
};

function run(
  digest: Digest,
  exec: { args?: string[]; mounts?: MessageInitShape<typeof opspb.MountSchema>[]; network?: opspb.NetMode } = {},
): OpInit {
  const { args = ["/bin/sh", "-c", "true"], mounts = [{ input: 0n, dest: "/", output: 0n }], network = 0 } = exec;
  return { inputs: [{ digest }], op: { case: "exec", value: { meta: { args, cwd: "/" }, mounts, network } } };
}

test("loadDefinition() names vertices for what they do, or as they are told", async () => {
  const graph = new Graph();
  const base = graph.add(image);
  const step = graph.add(run(base), { description: { "llb.customname": "[2/2] RUN true" }, ignoreCache: true });
  const action = { case: "copy", value: { src: "/a", dest: "/b" } } as const;
  const file = graph.add({ inputs: [{ digest: step }], op: { case: "file", value: { actions: [{ action }] } } });
  const merged = graph.add({
    inputs: [{ digest: base }, { digest: file }],
    op: { case: "merge", value: { inputs: [{ input: 0n }, { input: 1n }] } },
  });
  const { vertex } = await loadDefinition(graph.finish(merged), options);
  assert.equal(vertex.name, "merge (docker-image://docker.io/library/busybox:latest, copy /a /b)");
  const exec = vertex.inputs[1]?.vertex.inputs[0]?.vertex;
  assert.equal(exec?.name, "[2/2] RUN true");
  assert.equal(exec.options.ignoreCache, true);
  assert.equal(exec.inputs[0]?.vertex, vertex.inputs[0]?.vertex);
  assert.equal(operationOf(exec).platform.os, "linux");
});

test("loadDefinition() refuses what the build was not granted", async () => {
  const graph = new Graph();
  const definition = graph.finish(graph.add(run(graph.add(image), { network: opspb.NetMode.HOST })));
  await assert.rejects(loadDefinition(definition, options), { message: "network.host is not allowed" });
  const granted = { ...options, entitlements: new Set(["network.host"]) };
  assert.ok(await loadDefinition(definition, granted));
});

test("loadDefinition() makes other vertices of steps that have a proxy for their network", async () => {
  const load = async (network: opspb.NetMode, proxyNetwork: boolean): Promise<Vertex> => {
    const graph = new Graph();
    const definition = graph.finish(graph.add(run(graph.add(image), { network })));
    const entitlements = new Set(["network.host"]);
    return (await loadDefinition(definition, { ...options, entitlements, proxyNetwork })).vertex;
  };
  for (const network of [opspb.NetMode.UNSET, opspb.NetMode.HOST, opspb.NetMode.NONE]) {
    const [plain, proxied] = [await load(network, false), await load(network, true)];
    const isProxied = network !== opspb.NetMode.NONE;
    assert.equal(operationOf(proxied).isProxied, isProxied);
    assert.equal(proxied.digest !== plain.digest, isProxied);
    assert.equal(proxied.inputs[0]?.vertex.digest, plain.inputs[0]?.vertex.digest);
    assert.equal(operationOf(plain).isProxied, false);
  }
});

test("loadDefinition() gives changed sources, and all that is built from them, new digests", async () => {
  const graph = new Graph();
  const step = graph.add(run(graph.add(image)));
  const evaluateSource = async (op: opspb.Op): Promise<boolean> => {
    if (op.op.case === "source") op.op.value.identifier = "docker-image://docker.io/library/alpine:latest";
    return true;
  };
  const { vertex } = await loadDefinition(graph.finish(step), { ...options, evaluateSource });
  assert.notEqual(vertex.digest, step);
  assert.equal(vertex.inputs[0]?.vertex.name, "docker-image://docker.io/library/alpine:latest");
});

test("loadDefinition() leaves the ops of other builds as they are", async () => {
  const graph = new Graph();
  const source = graph.add(image);
  const mkdir = { path: "/made" };
  const action = { input: 0n, secondaryInput: -1n, output: 0n, action: { case: "mkdir", value: mkdir } } as const;
  const step = graph.add({ inputs: [{ digest: source }], op: { case: "file", value: { actions: [action] } } });
  const definition = graph.finish(step);
  const knownOps = new KnownOps();
  const load = async (more: Partial<LoadOptions> = {}): Promise<Vertex> =>
    (await loadDefinition(definition, { ...options, knownOps, ...more })).vertex;
  await load();
  const before = await load();
  assert.equal(operationOf(await load()).op, operationOf(before).op);
  const evaluateSource = async ({ op }: opspb.Op): Promise<boolean> => {
    if (op.case === "source") op.value.identifier = "docker-image://docker.io/library/other:latest";
    return true;
  };
  assert.notEqual((await load({ evaluateSource })).digest, step);
  const after = await load();
  assert.equal(after.digest, step);
  assert.equal(operationOf(after).op.inputs[0]?.digest, source);
  assert.equal(after.inputs[0]?.vertex.name, "docker-image://docker.io/library/busybox:latest");
});

test("loadDefinition() walks chains of any length and refuses graphs that are none", async () => {
  const graph = new Graph();
  let digest = graph.add(image);
  for (let i = 0; i < 20_000; i += 1) digest = graph.add(run(digest, { args: [String(i)] }));
  assert.ok(await loadDefinition(graph.finish(digest), options));
  const refused: readonly (readonly [Definition, RegExp])[] = [
    [{ def: [], metadata: new Map(), source: undefined }, /invalid empty definition/],
    [{ def: [new Uint8Array([0xff])], metadata: new Map(), source: undefined }, /failed to parse llb proto op/],
    [new Graph().finish(digestOf("missing")), /invalid LLB with 1 vertexes/],
    [finishWith((g) => g.add(run(digestOf("missing")))), /invalid missing input digest/],
    [finishWith((g) => g.add(run(g.add(image), { mounts: [{ dest: "/x" }] }))), /no rootfs/],
    [finishWith((g) => g.add({ op: { case: "diff", value: {} } })), /nil lower or upper/],
  ];
  for (const [definition, message] of refused) {
    await assert.rejects(loadDefinition(definition, options), { code: "invalid_argument", message });
  }
});

function finishWith(build: (graph: Graph) => Digest): Definition {
  const graph = new Graph();
  return graph.finish(build(graph));
}

test("ignoredCacheMounts() names the directories of steps that ignore the cache", () => {
  const graph = new Graph();
  const mount = { input: -1n, dest: "/c", mountType: opspb.MountType.CACHE };
  const mounts = [{ dest: "/" }, { ...mount, cacheOpt: { ID: "id" } }, { ...mount, cacheOpt: {} }];
  const step = graph.add(run(graph.add(image), { mounts }), { ignoreCache: true });
  assert.deepEqual(ignoredCacheMounts(graph.finish(step)), ["id", "/c"]);
});
