import { create } from "@bufbuild/protobuf";
import { gatewaypb } from "@buildkit-ts/api";
import type { ServiceImpl } from "@connectrpc/connect";
import { serverStream, unary } from "../wire/handlers.ts";
import { containerReader, readDirectory, readFile, statFollowed } from "../wire/ref-files.ts";
import { execProcess } from "./exec-process.ts";
import type { FrontendRoute } from "./llb-bridge-service.ts";

type ContainerCall =
  | "newContainer"
  | "releaseContainer"
  | "execProcess"
  | "readFileContainer"
  | "readDirContainer"
  | "statFileContainer";

/** The part of `LLBBridge` that is about containers of a frontend's own. */
export function containerCalls(route: FrontendRoute): Pick<ServiceImpl<typeof gatewaypb.LLBBridge>, ContainerCall> {
  return {
    newContainer: unary(async (request, context) => {
      const { containers } = await route(context);
      await containers.create(request, { signal: context.signal });
      return create(gatewaypb.NewContainerResponseSchema);
    }),
    releaseContainer: unary(async (request, context) => {
      const { containers } = await route(context);
      await containers.release(request.ContainerID);
      return create(gatewaypb.ReleaseContainerResponseSchema);
    }),
    execProcess: serverStream(async function* (requests, context) {
      const { containers } = await route(context);
      yield* execProcess(containers, requests, { signal: context.signal });
    }),
    readFileContainer: unary(async (request, context) => {
      const { containers } = await route(context);
      const tree = containerReader(await containers.get(request.Ref), request.MountIndex);
      const range = request.Range;
      const Data = await readFile(tree, request.FilePath, {
        signal: context.signal,
        ...(range !== undefined && { offset: Number(range.Offset), length: Number(range.Length) }),
      });
      return create(gatewaypb.ReadFileResponseSchema, { Data });
    }),
    readDirContainer: unary(async (request, context) => {
      const { containers } = await route(context);
      const tree = containerReader(await containers.get(request.Ref), request.MountIndex);
      const { signal } = context;
      const entries = await readDirectory(tree, request.DirPath, { signal, includePattern: request.IncludePattern });
      return create(gatewaypb.ReadDirResponseSchema, { entries });
    }),
    statFileContainer: unary(async (request, context) => {
      const { containers } = await route(context);
      const tree = containerReader(await containers.get(request.Ref), request.MountIndex);
      const stat = await statFollowed(tree, request.Path, { signal: context.signal });
      return create(gatewaypb.StatFileResponseSchema, { stat });
    }),
  };
}
