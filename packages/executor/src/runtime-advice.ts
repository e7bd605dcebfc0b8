/** Releases of runc that fix what steps could escape by (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881), by their line. */
const fixedRunc: readonly (readonly [major: number, minor: number, patch: number])[] = [
  [1, 2, 8],
  [1, 3, 3],
  [1, 4, 0],
];

/**
 * What to tell the operator of a runtime by its `--version`; undefined where there is nothing to tell.
 *
 * Distributions patch old releases without a new version, so it can be no more than advice.
 */
export function runtimeAdvice(versionText: string): string | undefined {
  const [, name = "", ...numbers] = /^(\S*runc) version (\d+)\.(\d+)\.(\d+)/m.exec(versionText) ?? [];
  if (name === "") return undefined;
  const [major = 0, minor = 0, patch = 0] = numbers.map(Number);
  const line = fixedRunc.find((fixed) => fixed[0] === major && fixed[1] === minor);
  const isNewer = major > 1 || (major === 1 && minor > 4);
  if (isNewer || (line !== undefined && patch >= line[2])) return undefined;
  const wanted = (line ?? fixedRunc[0] ?? []).join(".");
  return `${name} ${major}.${minor}.${patch} is older than ${wanted}, which fixes ways out of containers (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881): update it, unless your distribution has patched it`;
}
