import { BuildkitClient, type BuildRequest } from "@buildkit-ts/client";
import type { TestDaemon } from "./daemon.ts";

/** Moments of a build, in their usual order. */
export const buildPhases = [
  "context",
  "pull",
  "unpack",
  "copy",
  "exec",
  "commit",
  "merge",
  "export",
  "push",
  "end",
] as const;
export type BuildPhase = (typeof buildPhases)[number];

/** What is seen first when a phase begins: a part of a vertex' name, a status' id, or the log. */
const signs: readonly (readonly [BuildPhase, RegExp])[] = [
  ["context", /vertex \[internal\] load build context/],
  ["pull", /status sha256:/],
  ["unpack", /status extracting /],
  ["copy", /vertex .*COPY data /],
  ["exec", /log begun/],
  ["commit", /log ended/],
  ["merge", /vertex .*COPY --link/],
  ["export", /status exporting layers/],
  ["push", /status pushing layers/],
];

/** Who follows a build. */
export interface BuildListeners {
  readonly onPhase?: (phase: BuildPhase) => void;
  readonly onLog?: (text: string) => void;
}

/** Builds, and calls back at the first sign of each phase. @returns the failure, if there was one. */
export async function buildInPhases(
  daemon: TestDaemon,
  request: Omit<BuildRequest, "onStatus">,
  { onPhase = () => undefined, onLog = () => undefined }: BuildListeners = {},
): Promise<unknown> {
  const seen = new Set<BuildPhase>();
  const look = (text: string): void => {
    for (const [phase, sign] of signs) {
      if (seen.has(phase) || !sign.test(text)) continue;
      seen.add(phase);
      onPhase(phase);
    }
  };
  const signal = AbortSignal.timeout(120_000);
  try {
    await using client = await BuildkitClient.connect(daemon.address, { signal });
    const onStatus: BuildRequest["onStatus"] = ({ vertexes, statuses, logs }) => {
      for (const vertex of vertexes) if (vertex.started !== undefined) look(`vertex ${vertex.name}`);
      for (const status of statuses) look(`status ${status.ID}`);
      for (const log of logs) {
        const text = Buffer.from(log.msg).toString("utf8");
        onLog(text);
        look(`log ${text}`);
      }
    };
    await client.build({ ...request, onStatus }, { signal });
    return undefined;
  } catch (error) {
    return error;
  } finally {
    onPhase("end");
  }
}
