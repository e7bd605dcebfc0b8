import { clone } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf, type Platform } from "@buildkit-ts/oci";
import type { CacheMap, CacheMapDependency } from "@buildkit-ts/solver";
import { type ContentCache, dedupePaths, rootedPath, unlazy } from "../content-selector.ts";
import { invalid, rootMount } from "../definition/validate-op.ts";
import { goJson, goObject, goStrings } from "../go-json.ts";
import { SelectedContent } from "../selected-content.ts";
import { describeExec } from "./describe-exec.ts";

/**
 * What an exec op is known by: its normalised form and the platform. What differs between builds that do the same work is
 * left out: proxies, addresses of extra hosts, selectors (they are part of the links to inputs), ids of most cache mounts.
 */
export function execCacheMap(
  op: opspb.ExecOp,
  options: {
    readonly inputs: number;
    readonly platform: Platform;
    readonly cache: ContentCache;
    /** A step that was held to a proxy is another one: its result is not made of what nobody has seen. */
    readonly isProxied?: boolean;
  },
): CacheMap {
  const { platform, isProxied = false } = options;
  const text = goObject([
    ["Type", formatGoJson("buildkit.exec.v0")],
    ["Exec", goJson(opspb.ExecOpSchema, normalize(op))],
    ["OS", formatGoJson(platform.os)],
    ["Arch", formatGoJson(platform.architecture)],
    ["Variant", platform.variant === undefined ? undefined : formatGoJson(platform.variant)],
    ["OSVersion", platform["os.version"] === undefined ? undefined : formatGoJson(platform["os.version"])],
    ["OSFeatures", goStrings(platform["os.features"])],
  ]);
  return {
    digest: digestOf(isProxied ? `${text}\0buildkit.proxy-network.v0` : text),
    deps: mountDependencies(op, options),
    describe: () => describeExec(op, { platform, isProxied }),
  };
}

function normalize(op: opspb.ExecOp): opspb.ExecOp {
  // Most steps have nothing that is left out but their root, and a copy of all of them costs more than the rest of the key.
  const isPlain = op.meta?.extraHosts.length === 0 && op.meta.proxyEnv === undefined;
  if (isPlain && op.mounts.length === 1 && op.mounts.every(isPlainRoot)) return { ...op, mounts: [] };
  const copy = clone(opspb.ExecOpSchema, op);
  for (const host of copy.meta?.extraHosts ?? []) host.IP = "";
  if (copy.meta !== undefined) delete copy.meta.proxyEnv;
  for (const mount of copy.mounts) {
    mount.selector = "";
    if (mount.cacheOpt !== undefined && !isDefaultCacheMount(mount)) {
      mount.cacheOpt.ID = "";
      mount.cacheOpt.sharing = opspb.CacheSharingOpt.SHARED;
    }
  }
  // The plain RUN of a Dockerfile: keys made before mounts were part of them must still match.
  if (copy.mounts.length === 1 && copy.mounts.every(isPlainRoot)) copy.mounts = [];
  return copy;
}

/** A Dockerfile's cache mount without an id, possibly within a namespace: its id is its destination. */
function isDefaultCacheMount(mount: opspb.Mount): boolean {
  const { ID: id, sharing } = mount.cacheOpt ?? { ID: "", sharing: 0 };
  if (sharing !== opspb.CacheSharingOpt.SHARED) return false;
  const slash = id.indexOf("/");
  return id === mount.dest || (slash >= 0 && id.slice(slash + 1) === mount.dest);
}

function isPlainRoot(mount: opspb.Mount): boolean {
  return (
    mount.dest === rootMount &&
    mount.selector === "" &&
    !mount.readonly &&
    mount.mountType === opspb.MountType.BIND &&
    mount.cacheOpt === undefined &&
    mount.SSHOpt === undefined &&
    mount.secretOpt === undefined &&
    mount.resultID === ""
  );
}

function mountDependencies(
  op: opspb.ExecOp,
  options: { readonly inputs: number; readonly cache: ContentCache },
): CacheMapDependency[] {
  const selectors = Array.from({ length: options.inputs }, (): string[] => []);
  const byContent = new Set<number>();
  for (const mount of op.mounts) {
    if (
      mount.mountType === opspb.MountType.SECRET ||
      mount.mountType === opspb.MountType.SSH ||
      mount.mountType === opspb.MountType.TMPFS ||
      mount.input === -1n
    )
      continue;
    const input = Number(mount.input);
    const list = selectors[input];
    if (list === undefined) throw invalid(`invalid mountinput ${mount.input}`);
    const selector = rootedPath(mount.selector);
    list.push(selector);
    // The last mount of an input decides, as in BuildKit.
    if (usesContentKey(mount, selector)) byContent.add(input);
    else byContent.delete(input);
  }
  return selectors.map((paths, input) => {
    if (paths.length === 0) return { prepare: unlazy };
    const selector = digestOf(paths.join("\0"));
    if (!byContent.has(input)) return { selector, prepare: unlazy };
    return new SelectedContent(selector, options.cache, () => contentSelectors(dedupePaths(paths)));
  });
}

/**
 * Content keys are safe only where what was not selected cannot reach a later step: without an output, where nothing is
 * written, or where everything is selected.
 */
function usesContentKey(mount: opspb.Mount, selector: string): boolean {
  const safe = mount.output === -1n || mount.readonly || selector === "/";
  switch (mount.contentCache) {
    case opspb.MountContentCache.OFF:
      return false;
    case opspb.MountContentCache.ON:
      if (!safe) throw invalid(`invalid mount cache content ${mount.dest}`);
      return true;
    case opspb.MountContentCache.DEFAULT:
    default:
      // Reading a whole root file system costs more than it is likely to save.
      return safe && mount.dest !== rootMount;
  }
}

function contentSelectors(paths: readonly string[]): { readonly path: string; readonly followLinks: boolean }[] {
  return paths.includes("/") ? [] : paths.map((path) => ({ path, followLinks: true }));
}
