import assert from "node:assert/strict";
import { test } from "node:test";
import { llbCapabilitySet } from "./capabilities.ts";

/** All that BuildKit's daemon advertises (`solver/pb/caps.go` at 73ed6825c). */
const registered = `
  cache.azblob
  cache.gha
  cache.s3
  constraints
  diffop
  exec.cgroup
  exec.meta.base
  exec.meta.cdi
  exec.meta.cgroup.parent
  exec.meta.linux.resources
  exec.meta.network
  exec.meta.network.proxy
  exec.meta.proxyenv
  exec.meta.security
  exec.meta.security.devices.v1
  exec.meta.setsdefaultpath
  exec.meta.ulimit
  exec.mount.bind
  exec.mount.bind.readwrite-nooutput
  exec.mount.cache
  exec.mount.cache.content
  exec.mount.cache.sharing
  exec.mount.secret
  exec.mount.selector
  exec.mount.ssh
  exec.mount.tmpfs
  exec.mount.tmpfs.size
  exec.secretenv
  exec.validexitcode
  exporter.image.annotations
  exporter.image.attestations
  exporter.multiple
  exporter.session
  exporter.sourcedateepoch
  file.base
  file.copy.alwaysreplaceexistingdestpaths
  file.copy.includeexcludepatterns
  file.copy.requiredpaths
  file.rm.nofollowsymlink
  file.rm.wildcard
  file.symlink.create
  gc.freespacefilter
  history.filter
  mergeop
  meta.description
  meta.exportcache
  meta.ignorecache
  passthroughop
  platform
  soruce.http.uidgid
  source.buildop.llbfilename
  source.git
  source.git.bundle
  source.git.checkoutbundle
  source.git.checksum
  source.git.fetchbycommit
  source.git.fullurl
  source.git.httpauth
  source.git.keepgitdir
  source.git.knownsshhosts
  source.git.mountsshsock
  source.git.mtime
  source.git.signatureverify
  source.git.skipsubmodules
  source.git.subdir
  source.http
  source.http.auth
  source.http.checksum
  source.http.header
  source.http.perm
  source.http.signatureverify
  source.image
  source.image.checksum
  source.image.layerlimit
  source.image.resolvemode
  source.imageblob
  source.local
  source.local.differ
  source.local.excludepatterns
  source.local.followpaths
  source.local.includepatterns
  source.local.metadatatransfer
  source.local.sessionid
  source.local.sharedkeyhint
  source.local.unique
  source.ocilayout
  source.policy
  source.policy.session
`;

test("the capabilities of definitions are BuildKit's, but for those that are not there yet", () => {
  const absent = registered
    .trim()
    .split(/\s+/)
    .filter((id) => !llbCapabilitySet.has(id));
  assert.deepEqual(
    absent.filter((id) => id !== "exec.meta.network.proxy"),
    [],
  );
});
