import {
  allowedSyscalls,
  conditionalSyscalls,
  type SeccompRule,
  seccompArchitectures,
} from "./default-seccomp-rules.ts";
import type { RuntimeSeccomp } from "./runtime-spec.ts";

const EPERM = 1;

/**
 * The default seccomp profile for a container with these (bounding) capabilities.
 *
 * @param architecture In OCI's spelling (`amd64`). Unknown ones get no list of sub-architectures.
 */
export function createSeccompProfile(capabilities: readonly string[], architecture: string): RuntimeSeccomp {
  const applies = (rule: SeccompRule): boolean =>
    (rule.arches === undefined || rule.arches.includes(architecture)) &&
    !(rule.notArches?.includes(architecture) ?? false) &&
    (rule.withCapability === undefined || capabilities.includes(rule.withCapability)) &&
    (rule.withoutCapability === undefined || !capabilities.includes(rule.withoutCapability));
  const architectures = seccompArchitectures[architecture];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    ...(architectures !== undefined && { architectures }),
    syscalls: [
      { names: allowedSyscalls, action: "SCMP_ACT_ALLOW" },
      ...conditionalSyscalls.filter(applies).map((rule) => ({
        names: rule.names.split(" "),
        action: rule.errno === undefined ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO",
        ...(rule.errno !== undefined && { errnoRet: rule.errno }),
        ...(rule.args !== undefined && { args: rule.args }),
      })),
    ],
  };
}
