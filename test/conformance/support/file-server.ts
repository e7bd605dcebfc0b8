import { createServer } from "node:http";

/** A web server of a few files. */
export interface FileServer extends AsyncDisposable {
  readonly url: string;
}

/** Serves files by name on a loopback port, as of 3 February 2001. */
export async function serveFiles(files: Readonly<Record<string, Uint8Array>>): Promise<FileServer> {
  const server = createServer((request, response) => {
    const data = files[(request.url ?? "").slice(1)];
    if (data === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("last-modified", "Sat, 03 Feb 2001 04:05:06 GMT");
    response.setHeader("content-length", data.length);
    if (request.method === "HEAD") response.end();
    else response.end(data);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
