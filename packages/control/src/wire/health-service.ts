import { create } from "@bufbuild/protobuf";
import { healthpb } from "@buildkit-ts/api";
import type { ServiceImpl } from "@connectrpc/connect";

const { SERVING, NOT_SERVING } = healthpb.HealthCheckResponse_ServingStatus;

/** `grpc.health.v1.Health`: serving, until the signal says that it is over. Watchers are told, and their calls end. */
export function healthService(options: { readonly signal: AbortSignal }): ServiceImpl<typeof healthpb.Health> {
  const { signal } = options;
  const answer = (): healthpb.HealthCheckResponse =>
    create(healthpb.HealthCheckResponseSchema, { status: signal.aborted ? NOT_SERVING : SERVING });
  return {
    check: answer,
    async *watch(_request, context) {
      yield answer();
      await either(signal, context.signal);
      if (!context.signal.aborted) yield answer();
    },
  };
}

async function either(a: AbortSignal, b: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([a, b]);
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
