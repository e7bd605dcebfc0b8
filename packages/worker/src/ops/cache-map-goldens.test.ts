import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import { execCacheMap } from "./exec-cache-map.ts";
import { fileCacheMap } from "./file-cache-map.ts";

/**
 * Keys of records that BuildKit (commit 73ed6825c) exported with `--export-cache type=local,mode=max` for small Dockerfiles.
 * A record's key is the digest of the cache map's digest and the output's index.
 */
const platform = { os: "linux", architecture: "amd64" };
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const cache = {
  contentChecksum: async (): Promise<Digest> => digestOf(""),
  listContent: async () => await Promise.reject(new Error("keys need no list")),
  withSameBytes: async () => await Promise.reject(new Error("keys need no list")),
};
const rootOnly = { input: 0n, dest: "/", output: 0n };

function record(digest: Digest): string {
  return digestOf(`${digest}@0`);
}

function exec(op: MessageInitShape<typeof opspb.ExecOpSchema>, inputs = 1): ReturnType<typeof execCacheMap> {
  return execCacheMap(create(opspb.ExecOpSchema, op), { inputs, platform, cache });
}

function file(op: MessageInitShape<typeof opspb.FileOpSchema>, inputs: number): ReturnType<typeof fileCacheMap> {
  return fileCacheMap(create(opspb.FileOpSchema, op), { inputs, cache });
}

const wholeInput = "sha256:8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1";

function run(
  command: string,
  options: { cwd?: string; env?: string[]; user?: string } = {},
): MessageInitShape<typeof opspb.MetaSchema> {
  const { cwd = "/", env = [path], user = "" } = options;
  return { args: ["/bin/sh", "-c", command], env, cwd, user, removeMountStubsRecursive: true };
}

function copy(src: string, dest: string, input = 0n): MessageInitShape<typeof opspb.FileActionSchema> {
  const value = {
    src,
    dest,
    mode: -1,
    followSymlink: true,
    dirCopyContents: true,
    createDestPath: true,
    allowWildcard: true,
    allowEmptyWildcard: true,
    timestamp: -1n,
  };
  return { input, secondaryInput: 1n, output: 0n, action: { case: "copy", value } };
}

test("execCacheMap() of a plain RUN is BuildKit's", () => {
  const { digest, deps } = exec({ meta: run("cat /w/a.txt > /sum", { cwd: "/w" }), mounts: [rootOnly] });
  assert.equal(record(digest), "sha256:8653f8b7e861e91d6c9a4182fe1343784aee1524893e4e9f36e733e0849ac436");
  assert.equal(deps.length, 1);
  assert.equal(deps[0]?.selector, wholeInput);
  assert.equal(deps[0].computeContentDigest, undefined);
});

test("execCacheMap() has the network, the environment and the user, but no proxy", () => {
  const env = [path, "V=1"];
  const none = exec({
    meta: { ...run("true", { env }), proxyEnv: create(opspb.ProxyEnvSchema, { httpProxy: "http://proxy" }) },
    mounts: [rootOnly],
    network: opspb.NetMode.NONE,
  });
  assert.equal(record(none.digest), "sha256:b118354ede5a1f19359cdf70d297fa4f905886d8724d305ffc2daf873d84c255");
  const user = exec({ meta: run("id -u > /tmp/u", { env, user: "daemon" }), mounts: [rootOnly] });
  assert.equal(record(user.digest), "sha256:6c79c3781c2dd7fb873341e74421ea0b8933ce930dac96e9f74cd77e1fac73d2");
});

test("execCacheMap() of a step behind a proxy is another one", () => {
  const op = create(opspb.ExecOpSchema, { meta: { args: ["true"] } });
  const plain = execCacheMap(op, { inputs: 1, platform, cache });
  const proxied = execCacheMap(op, { inputs: 1, platform, cache, isProxied: true });
  assert.notEqual(proxied.digest, plain.digest);
  assert.deepEqual(execCacheMap(op, { inputs: 1, platform, cache, isProxied: false }).digest, plain.digest);
  assert.equal(proxied.describe?.().fields.get("network"), "default, by proxy");
});

test("execCacheMap() leaves the selector of a bind mount to the link, and finds its content", () => {
  const { digest, deps } = exec(
    {
      meta: run("cat /m/a.txt > /m2", { env: [path, "K=v"] }),
      mounts: [rootOnly, { input: 1n, selector: "/w", dest: "/m", output: -1n, readonly: true }],
    },
    2,
  );
  assert.equal(record(digest), "sha256:3e357580196858e7f1ee459855ae8cce60832474c10faa8ccd43afd8a212cd77");
  assert.equal(deps[1]?.selector, "sha256:d1bb8ca354673cd575d31d952490058c9943aef39d5a9553fb4a21ab7a59a19d");
  assert.notEqual(deps[1].computeContentDigest, undefined);
});

test("execCacheMap() has no ids of cache mounts", () => {
  const { digest } = exec(
    {
      meta: run("sh -c 'cat /ctx/b.txt > /o; echo $V >> /o'", { env: [path, "V=1"] }),
      mounts: [
        rootOnly,
        { input: -1n, dest: "/c", output: -1n, mountType: opspb.MountType.CACHE, cacheOpt: { ID: "x" } },
        { input: 1n, selector: "dir", dest: "/ctx", output: -1n, readonly: true },
        { input: -1n, dest: "/t", output: -1n, mountType: opspb.MountType.TMPFS, TmpfsOpt: {} },
        {
          input: -1n,
          dest: "/run/secrets/s",
          mountType: opspb.MountType.SECRET,
          secretOpt: { ID: "s", mode: 0o400, optional: true },
        },
      ],
    },
    2,
  );
  assert.equal(record(digest), "sha256:856e3601767e8d3c66b65f31eba679cb9c0042f38084aca5c322eaa0992b43cc");
});

test("fileCacheMap() of WORKDIR and COPY is BuildKit's", () => {
  const mkdir = { path: "/w", mode: 0o755, makeParents: true, timestamp: -1n };
  const workdir = file(
    { actions: [{ input: 0n, secondaryInput: -1n, output: 0n, action: { case: "mkdir", value: mkdir } }] },
    1,
  );
  assert.equal(record(workdir.digest), "sha256:f6515d8afd8f2d2ce6612a1d4492f88887feb327524d76cfd0f4c19c328711c2");
  const sum = file({ actions: [copy("/sum", "/sum")] }, 2);
  assert.equal(record(sum.digest), "sha256:751191cb414ce76a1264c9202e3d0edbb10e95686c997741d08fe295683f9df0");
  assert.equal(sum.deps[0]?.selector, undefined);
  assert.equal(sum.deps[1]?.selector, "sha256:faf77af05b2619938bc2218fd99cb7741f756c6097f5c0c6ee74e6f7fb5ee65b");
});

test("fileCacheMap() of a COPY with two sources is BuildKit's", () => {
  const { digest, deps } = file({ actions: [{ ...copy("/a.txt", "/w/"), output: -1n }, copy("/dir", "/w/", 2n)] }, 2);
  assert.equal(record(digest), "sha256:4946930f91c5d2c7e60b3599d43dd1784d59bbba6232bdd46c14f3764d84edaf");
  assert.notEqual(deps[1]?.computeContentDigest, undefined);
});
