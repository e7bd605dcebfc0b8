import type { HandlerContext } from "@connectrpc/connect";
import { connectErrorFrom, type FailureKind } from "./status-from-error.ts";

type UnaryHandler<I, O> = (request: I, context: HandlerContext) => Promise<O>;

/** A unary handler whose failures go out as BuildKit's typed errors. */
export function unary<I, O>(handler: UnaryHandler<I, O>): UnaryHandler<I, O> {
  return translating(handler, "request");
}

/** Like {@linkcode unary}, for calls that build: they fail because a build does, as a rule. */
export function buildCall<I, O>(handler: UnaryHandler<I, O>): UnaryHandler<I, O> {
  return translating(handler, "build");
}

function translating<I, O>(handler: UnaryHandler<I, O>, kind: FailureKind): UnaryHandler<I, O> {
  return async (request, context) => {
    try {
      return await handler(request, context);
    } catch (error) {
      throw connectErrorFrom(error, { kind, trailer: context.responseTrailer });
    }
  };
}

/** Like {@linkcode unary}, for handlers that answer with a stream. */
export function serverStream<I, O>(
  handler: (request: I, context: HandlerContext) => AsyncIterable<O>,
): (request: I, context: HandlerContext) => AsyncIterable<O> {
  return async function* (request, context) {
    try {
      yield* handler(request, context);
    } catch (error) {
      throw connectErrorFrom(error, { trailer: context.responseTrailer });
    }
  };
}
