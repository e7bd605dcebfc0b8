export { Channel, type ChannelOptions } from "./channel.ts";
export { type Clock, systemClock } from "./clock.ts";
export type { ErrorReporter } from "./error-reporter.ts";
export { FairSemaphore } from "./fair-semaphore.ts";
export { Semaphore } from "./semaphore.ts";
export { abortable, SingleFlight } from "./single-flight.ts";
export { TaskGroup } from "./task-group.ts";
export { serveWorkerCalls, type WorkerCall, WorkerCalls, type WorkerCallsOptions } from "./worker-calls.ts";
export { startWorker } from "./worker-thread.ts";
