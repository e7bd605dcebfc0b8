import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import {
  copy,
  decodeDefinition,
  diff,
  git,
  http,
  image,
  imageBlob,
  local,
  type MarshalOptions,
  merge,
  mkdir,
  mkfile,
  ociLayout,
  ociLayoutBlob,
  parseOwner,
  type State,
  scratch,
  source,
  stateFromDefinition,
} from "./index.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const golden = new Map<string, string[]>();
for (const line of readFileSync(new URL("../testdata/go-digests.txt", import.meta.url), "utf8")
  .trim()
  .split("\n")) {
  const [name = "", , digest = ""] = line.split(" ");
  golden.set(name, [...(golden.get(name) ?? []), digest]);
}

function graphs(): Map<string, { readonly state: State; readonly options: MarshalOptions }> {
  const all = new Map<string, { readonly state: State; readonly options: MarshalOptions }>();
  const add = (name: string, state: State | undefined, options: MarshalOptions = {}): void => {
    assert.ok(state !== undefined);
    all.set(name, { state, options: { platform: amd64, localUniqueId: "uid", ...options } });
  };
  addSources(add);
  addFurtherSources(add);
  addSteps(add);
  return all;
}

type Add = (name: string, state: State | undefined, options?: MarshalOptions) => void;
const b = image("busybox");
const l = local("context", {
  includePatterns: ["a<b", "c&d", "*.go"],
  sharedKeyHint: "k",
  excludePatterns: ["x"],
  followPaths: ["é"],
  sessionId: "s1",
});

function addSources(add: Add): void {
  add("image", b);
  add(
    "image2",
    image("busybox:1.35", {
      resolveMode: "pull",
      platform: { os: "linux", architecture: "arm64" },
      customName: "x",
      ignoreCache: true,
    }),
  );
  add("local", l);
  add("localu", local("context"));
  add("git", git("https://u:p@github.com/moby/buildkit.git", { ref: "v1", subdir: "sub/dir", keepGitDir: true }));
  add("git2", git("github.com/moby/buildkit", { authTokenSecret: "t" }));
  add("git3", git("git@github.com:moby/buildkit.git", { knownSshHosts: "kh\n" }));
  add(
    "http",
    http("https://x/y", {
      checksum: digestOf("a"),
      filename: "fn",
      mode: 0o644,
      uid: 1,
      gid: 2,
      header: { accept: "a" },
    }),
  );
  add("oci", ociLayout("x@sha256:00", { sessionId: "s", storeId: "st", layerLimit: 2 }));
}

function addFurtherSources(add: Add): void {
  const blob = `sha256:${"a".repeat(64)}`;
  add("blob", imageBlob(`busybox@${blob}`, { filename: "f", mode: 0o640, uid: 3, gid: 4 }));
  add("ociblob", ociLayoutBlob(`x.io/y@${blob}`, { sessionId: "s", storeId: "st" }));
  add(
    "gitbundle",
    git("https://github.com/moby/buildkit.git", {
      ref: "v1",
      checksum: "c".repeat(40),
      bundle: { locator: `oci-layout+blob://x.io/y@${blob}`, sessionId: "s", storeId: "st" },
    }),
  );
  add(
    "gitall",
    git("https://github.com/moby/buildkit.git", {
      checkoutBundle: true,
      skipSubmodules: true,
      mtime: "commit",
      fetchByCommit: true,
    }),
  );
  add("localall", local("x", { differ: { type: "none", required: true }, metadataOnly: { exceptions: ["a", "b"] } }));
  add("llbbuild", l.build());
  add(
    "llbbuildfile",
    l.build({ filename: "f.llb", customName: "n", platform: { os: "linux", architecture: "arm64" } }),
  );
  add(
    "resources",
    b.run({
      args: ["x"],
      linuxResources: {
        memory: 1n,
        memorySwap: 2n,
        cpuShares: 3n,
        cpuPeriod: 4n,
        cpuQuota: 5n,
        cpusetCpus: "0",
        cpusetMems: "1",
      },
    }),
  );
}

function addSteps(add: Add): void {
  const e = b
    .addEnv("A", "1")
    .addEnv("B", "2")
    .addEnv("A", "3")
    .dir("foo")
    .dir("../bar")
    .user("me")
    .hostname("h")
    .addExtraHost("x", "1.2.3.4")
    .addUlimit({ name: "nofile", soft: 5n, hard: 6n })
    .cgroupParent("cg")
    .run({
      args: ["sh", "-c", "true"],
      mounts: [
        { target: "/z", source: l, readonly: true, selector: "sub" },
        { target: "/out" },
        { target: "/b", source: b },
        { target: "/cache", cache: { id: "id", sharing: "locked" } },
        { target: "/t", tmpfs: { sizeBytes: 100 } },
        { target: "/no", source: b, noOutput: true, contentCache: "off" },
      ],
      secrets: [
        { id: "sid", target: "/run/s", optional: true },
        { id: "ENVN", env: "ENVN" },
      ],
      ssh: [{ id: "default" }],
      proxy: { httpProxy: "p", noProxy: "n" },
      validExitCodes: [0, 3],
      with: (s) => s.network("host").security("insecure"),
      devices: [{ name: "v/d=1", optional: true }],
      description: { k: "v" },
      progressGroup: { id: "g", name: "n", weak: true },
      exportCache: false,
      linuxResources: { memory: 5n },
    });
  add("exec", e);
  add("execout", e.mount("/out"));
  add("ro", b.run({ args: ["x"], readonlyRoot: true, mounts: [{ target: "/o" }, { target: "/p" }] }).mount("/p"));
  const f = b.dir("/wd").file(
    mkdir("a", 0o755, { makeParents: true, owner: parseOwner("u:5") })
      .mkfile("/f", "hi", { mode: 0o644, owner: { user: 0, group: 1 }, createdAtNs: 5000000007n })
      .copy(
        l,
        { src: "src/./x/", dest: "dst/" },
        {
          followSymlinks: true,
          copyDirContentsOnly: true,
          createDestPath: true,
          allowWildcard: true,
          allowEmptyWildcard: true,
          attemptUnpack: true,
          includePatterns: ["a"],
          excludePatterns: ["b"],
          requiredPaths: ["r"],
          owner: { user: "nm" },
          alwaysReplaceExistingDestPaths: true,
        },
      )
      .copy(b, { src: "q", dest: "y/." }, { mode: 0o600 })
      .copy(b, { src: "/q", dest: "y" }, { mode: "u+x" })
      .rm("z*", { allowNotFound: true, allowWildcard: true })
      .symlink("o", "n"),
    { customName: "file" },
  );
  add("file", f);
  add("filescratch", scratch().file(mkfile("f", "", { mode: 0o600 })));
  add("merge", merge([b, f, scratch(), l]));
  add("diff", diff(b, f));
  add("diff2", diff(b, scratch()));
  add("pass", f.requires("idp", [b, l]));
  add("require", b.run({ args: ["x"], workerFilter: ["a==b"] }), {
    workerFilter: ["c"],
    platform: { os: "linux", architecture: "arm", variant: "v7", "os.version": "1" },
  });
}

suite("marshalling", () => {
  for (const [name, { state, options }] of graphs()) {
    test(`gives "${name}" the bytes that the Go client gives it`, () => {
      assert.deepEqual(state.marshal(options).def.map(digestOf), golden.get(name));
    });
    test(`keeps the digests of "${name}" when it is built upon as a definition`, () => {
      const definition = state.marshal(options);
      assert.deepEqual(stateFromDefinition(definition).marshal().def.map(digestOf), golden.get(name));
      assert.equal(decodeDefinition(definition).ops.length, definition.def.length - 1);
    });
  }

  test("orders attributes by their bytes, also those that look like numbers", () => {
    const one = source("x://y", {
      attrs: new Map([
        ["b", "1"],
        ["10", "2"],
        ["9", "3"],
      ]),
    });
    const bytes = Buffer.from(one.marshal({ platform: amd64 }).def[0] ?? []).toString("latin1");
    assert.ok(bytes.indexOf("10") < bytes.indexOf("9") && bytes.indexOf("9") < bytes.indexOf("b"));
  });

  test("gives the short forms of steps the digests of the long ones", () => {
    const digests = (state: State): string[] =>
      state.marshal({ platform: amd64, localUniqueId: "uid" }).def.map(digestOf);
    const paths = { src: "a", dest: "/b" };
    assert.deepEqual(digests(b.run("make")), digests(b.run({ args: ["/bin/sh", "-c", "make"] })));
    assert.deepEqual(digests(b.copy(l, paths, { mode: 0o600 })), digests(b.file(copy(l, paths, { mode: 0o600 }))));
  });

  test("marshals a chain deeper than the call stack", () => {
    let state = scratch();
    for (let i = 0; i < 20_000; i++) state = state.file(mkdir(`/${i}`, 0o755));
    const { def, metadata, source: map } = state.marshal();
    assert.equal(def.length, 20_001);
    assert.equal(decodeDefinition({ def, metadata, source: map }).ops.length, 20_000);
  });

  test("names the file and lines that each op comes from", () => {
    const map = { filename: "Dockerfile", language: "Dockerfile", data: Buffer.from("FROM x") };
    const ranges = [{ start: { line: 1, character: 0 }, end: { line: 1, character: 6 } }];
    const definition = image("busybox", { locations: [{ map, ranges }] }).marshal();
    const [first] = definition.def;
    assert.ok(first !== undefined);
    assert.equal(definition.source?.locations[digestOf(first)]?.locations[0]?.ranges[0]?.start?.line, 1);
    assert.equal(definition.source?.infos[0]?.filename, "Dockerfile");
  });

  test("keeps the graph that a source file came from when it is built upon as a definition", () => {
    const origin = local("dockerfile").marshal();
    const map = { filename: "Dockerfile", language: "Dockerfile", data: Buffer.from("FROM x"), definition: origin };
    const ranges = [{ start: { line: 1, character: 0 }, end: { line: 1, character: 6 } }];
    const first = image("busybox", { locations: [{ map, ranges }] }).marshal();
    const [info] = stateFromDefinition(first).run("x").marshal().source?.infos ?? [];
    assert.deepEqual(info?.definition?.def, origin.def);
  });
});
