import { readUsage } from "./process-usage.ts";
import type { Contender } from "./workload.ts";

/** How long a daemon gets to come to rest. */
const restMs = 20_000;

/** Resident memory at rest, in MiB, after so many builds each. */
export async function measureRestingMemory(
  contender: Contender,
  options: { readonly context: string; readonly builds: readonly number[] },
): Promise<Map<number, number>> {
  const resident = new Map<number, number>();
  let done = 0;
  for (const count of options.builds) {
    for (; done < count; done++) await contender.client.build({ context: options.context });
    await new Promise((settle) => setTimeout(settle, restMs));
    resident.set(count, readUsage(contender.pid).residentMiB);
  }
  return resident;
}
