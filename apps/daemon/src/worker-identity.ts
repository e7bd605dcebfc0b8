import type { WorkerIdentity } from "@buildkit-ts/control";
import type { DeviceRegistry } from "@buildkit-ts/devices";
import { type Platform, parsePlatform } from "@buildkit-ts/oci";
import { detectPlatforms, workerLabels } from "@buildkit-ts/worker";
import type { Settings } from "./settings.ts";

/** What clients are told of the worker. */
export function identifyWorker(
  settings: Settings,
  options: {
    readonly workerId: string;
    readonly snapshotter: string;
    readonly network: string;
    readonly devices: DeviceRegistry;
  },
): WorkerIdentity {
  const configured = settings.platforms?.map((text) => parsePlatform(text));
  return {
    id: options.workerId,
    labels: workerLabels({
      snapshotter: options.snapshotter,
      network: options.network,
      processMode: "sandbox",
      labels: settings.labels,
    }),
    platforms: (): readonly Platform[] => configured ?? detectPlatforms(),
    gcRules: settings.gcRules,
    devices: () => options.devices.list(),
  };
}
