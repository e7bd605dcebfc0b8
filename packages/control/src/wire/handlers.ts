import type { HandlerContext } from "@connectrpc/connect";
import { connectErrorFrom } from "./status-from-error.ts";

/** A unary handler whose failures go out as BuildKit's typed errors. */
export function unary<I, O>(
  handler: (request: I, context: HandlerContext) => Promise<O>,
): (request: I, context: HandlerContext) => Promise<O> {
  return async (request, context) => {
    try {
      return await handler(request, context);
    } catch (error) {
      throw connectErrorFrom(error, context.responseTrailer);
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
      throw connectErrorFrom(error, context.responseTrailer);
    }
  };
}
