import { Code } from "@connectrpc/connect";
import type { connectNodeAdapter } from "@connectrpc/connect-node";

/**
 * Answers calls of methods that are not served with gRPC's `unimplemented`. A plain 404 would be told to users as "server closed
 * the stream without sending trailers".
 */
export const unknownMethod: ReturnType<typeof connectNodeAdapter> = (request) => {
  if (!("stream" in request)) return;
  request.stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(Code.Unimplemented),
      "grpc-message": encodeURIComponent(`unknown method ${request.url}`).replaceAll("%20", " "),
    },
    { endStream: true },
  );
};
