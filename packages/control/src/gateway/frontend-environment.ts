import { BuildError } from "@buildkit-ts/errdefs";
import type { WorkerIdentity } from "../engine.ts";
import { versionInfo } from "../wire/version.ts";

/** What Linux takes for one variable: 32 pages. */
const maxVariableBytes = 128 << 10;

/**
 * The variables by which a frontend is told what it has to do.
 *
 * @throws {BuildError} `invalid_argument`, for an option that no process can be given.
 */
export function frontendEnvironment(request: {
  readonly options: Readonly<Record<string, string>>;
  readonly session: string;
  readonly worker: WorkerIdentity;
}): string[] {
  const { options, session, worker } = request;
  const entries = Object.entries(options).map(([key, value], index) => {
    const variable = `BUILDKIT_FRONTEND_OPT_${index}=${key}=${value}`;
    if (Buffer.byteLength(variable) >= maxVariableBytes || variable.includes("\0")) {
      const name = JSON.stringify(key.slice(0, 100));
      throw new BuildError(
        "invalid_argument",
        `Cannot give option ${name} to frontend: it does not fit into a variable`,
      );
    }
    return variable;
  });
  return [
    ...entries,
    `BUILDKIT_SESSION_ID=${session}`,
    `BUILDKIT_WORKERS=${JSON.stringify([workerInfo(worker)])}`,
    "BUILDKIT_EXPORTEDPRODUCT=buildkit",
  ];
}

function workerInfo(worker: WorkerIdentity): object {
  return {
    id: worker.id,
    labels: worker.labels,
    platforms: worker.platforms(),
    gcPolicy: worker.gcRules.map((rule) => ({
      all: rule.all,
      filter: rule.filters,
      keepDuration: Math.round(rule.keepDurationMs * 1e6),
      reservedSpace: rule.reservedSpaceBytes,
      maxUsedSpace: rule.maxUsedSpaceBytes,
      minFreeSpace: rule.minFreeSpaceBytes,
    })),
    buildkitVersion: { package: versionInfo.package, version: versionInfo.version, revision: versionInfo.revision },
    cdiDevices: [],
  };
}
