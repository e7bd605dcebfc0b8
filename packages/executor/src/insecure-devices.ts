import { readdirSync, readFileSync } from "node:fs";
import type { RuntimeDevice } from "./runtime-spec.ts";

const fixed: readonly (readonly [string, number, number])[] = [
  ["/dev/kmsg", 1, 11],
  ["/dev/cuse", 10, 203],
  ["/dev/fuse", 10, 229],
  ["/dev/kvm", 10, 232],
  ["/dev/net/tun", 10, 200],
  ["/dev/loop-control", 10, 237],
];
const loopMajor = 7;
/** Loop devices beyond those that exist, for steps that attach images. */
const spareLoops = 8;

/** Device nodes that a step with `security.insecure` finds in /dev. */
export function insecureDevices(): RuntimeDevice[] {
  // In a user namespace mknod fails, and the runtime would bind-mount nodes that the host may not have.
  if (inUserNamespace()) return [];
  const loops = readdirSync("/dev").filter((name) => /^loop\d+$/.test(name)).length;
  return [
    ...fixed.map(([path, major, minor]) => ({ path, type: "c" as const, major, minor })),
    ...Array.from({ length: Math.min(loops, 256) + spareLoops }, (_, minor) => ({
      path: `/dev/loop${minor}`,
      type: "b" as const,
      major: loopMajor,
      minor,
    })),
  ];
}

/** The initial user namespace maps all ids to themselves. */
function inUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
}
