import type { ProcessTrace } from "./executor.ts";

/** Where processes reach the daemon's collector of spans. */
export const traceSocketDestination = "/dev/otel-grpc.sock";

const variables = [
  ["OTEL_TRACES_EXPORTER", "otlp"],
  ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", `unix://${traceSocketDestination}`],
  ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"],
] as const;

/** The variables by which OpenTelemetry's libraries find the collector, where the process is not told otherwise. */
export function withTraceEnvironment(env: readonly string[], trace: ProcessTrace | undefined): string[] {
  const names = new Set(env.map((entry) => entry.split("=", 1)[0]));
  const missing = variables.filter(([name]) => !names.has(name)).map(([name, value]) => `${name}=${value}`);
  const { traceparent, tracestate } = trace ?? {};
  const parent = traceparent === undefined ? [] : [`TRACEPARENT=${traceparent}`];
  const state = tracestate === undefined ? [] : [`TRACESTATE=${tracestate}`];
  return [...env, ...missing, ...parent, ...state];
}
