import { create } from "@bufbuild/protobuf";
import { capspb } from "@buildkit-ts/api";

/** What frontends may ask of the bridge. Clients gate calls on this list, so it names only what works. */
const frontendCapabilities = [
  "solve.base",
  "solve.inlinereturn",
  "resolveimage",
  "resolveimage.resolvemode",
  "readfile",
  "return",
  "returnmap",
  "readdir",
  "statfile",
  "importcaches",
  "proto.refarray",
  "reference.output",
  "reference.attestations",
  "frontend.inputs",
  "gateway.solve.metadata",
  "gateway.exec",
  "gateway.exec.extrahosts",
  "gateway.exec.secretenv",
  "gateway.exec.signals",
  "gateway.exec.filesystem",
  "frontend.caps",
  "gateway.solve.evaluate",
  "gateway.evaluate",
  "gateway.warnings",
  "source.metaresolver",
  "source.metaresolver.image.attestations",
  "source.metaresolver.http.checksumrequest",
] as const;

/** What definitions may hold. */
const llbCapabilities = [
  "source.image",
  "source.image.resolvemode",
  "source.image.layerlimit",
  "source.image.checksum",
  "source.imageblob",
  "source.ocilayout",
  "source.buildop.llbfilename",
  "source.local",
  "source.local.unique",
  "source.local.sessionid",
  "source.local.includepatterns",
  "source.local.followpaths",
  "source.local.excludepatterns",
  "source.local.sharedkeyhint",
  "source.local.differ",
  "source.local.metadatatransfer",
  "source.git",
  "source.git.keepgitdir",
  "source.git.fullurl",
  "source.git.httpauth",
  "source.git.knownsshhosts",
  "source.git.mountsshsock",
  "source.git.subdir",
  "source.git.checksum",
  "source.git.skipsubmodules",
  "source.git.mtime",
  "source.git.fetchbycommit",
  "source.git.signatureverify",
  "source.git.bundle",
  "source.git.checkoutbundle",
  "source.http",
  "source.http.auth",
  "source.http.checksum",
  "source.http.perm",
  // Spelled like this on the wire.
  "soruce.http.uidgid",
  "source.http.header",
  "source.http.signatureverify",
  "exec.meta.base",
  "exec.meta.cdi",
  "exec.meta.cgroup.parent",
  "exec.meta.network",
  "exec.meta.network.proxy",
  "exec.meta.proxyenv",
  "exec.meta.security",
  "exec.meta.security.devices.v1",
  "exec.meta.setsdefaultpath",
  "exec.meta.ulimit",
  "exec.meta.linux.resources",
  "exec.mount.bind",
  "exec.mount.bind.readwrite-nooutput",
  "exec.mount.cache",
  "exec.mount.cache.sharing",
  "exec.mount.selector",
  "exec.mount.tmpfs",
  "exec.mount.tmpfs.size",
  "exec.mount.secret",
  "exec.mount.ssh",
  "exec.mount.cache.content",
  "exec.cgroup",
  "exec.secretenv",
  "exec.validexitcode",
  "file.base",
  "file.copy.modestring",
  "file.rm.wildcard",
  "file.rm.nofollowsymlink",
  "file.copy.includeexcludepatterns",
  "file.copy.requiredpaths",
  "file.copy.alwaysreplaceexistingdestpaths",
  "file.symlink.create",
  "constraints",
  "platform",
  "meta.ignorecache",
  "meta.description",
  "meta.exportcache",
  "mergeop",
  "diffop",
  "passthroughop",
  "exporter.image.annotations",
  "exporter.image.attestations",
  "exporter.sourcedateepoch",
  "exporter.multiple",
  "exporter.session",
  "cache.gha",
  "cache.s3",
  "cache.azblob",
  "source.policy",
  "source.policy.session",
  "gc.freespacefilter",
  "history.filter",
] as const;

/** The LLB capabilities by name, for frontends that run in the daemon. */
export const llbCapabilitySet: ReadonlySet<string> = new Set(llbCapabilities);

/** `Ping`'s list of what frontends may use. */
export function frontendCaps(): capspb.APICap[] {
  return frontendCapabilities.map(capability);
}

/** `Ping`'s list of what definitions may use. */
export function llbCaps(): capspb.APICap[] {
  return llbCapabilities.map(capability);
}

function capability(id: string): capspb.APICap {
  return create(capspb.APICapSchema, { ID: id, Enabled: true });
}
