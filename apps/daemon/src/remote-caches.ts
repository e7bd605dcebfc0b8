import type { ErrorReporter } from "@buildkit-ts/async";
import type { CacheManager } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import type { CacheContext, CacheExporter } from "@buildkit-ts/control";
import { BuildError } from "@buildkit-ts/errdefs";
import { isStoreType, type ObjectStore, openObjectStore, type StoreType } from "@buildkit-ts/objectstore";
import type { RegistryClient } from "@buildkit-ts/registry";
import {
  type CacheAttributes,
  type CacheExportScope,
  type CacheOrigin,
  type CacheTarget,
  ClientCacheOrigin,
  ClientCacheTarget,
  exportCache,
  exportCacheToStore,
  importCache,
  importCacheFromStore,
  makeInlineCache,
  parseCacheFormat,
  parseCacheReference,
  parseExportScope,
  parseInsecure,
  RegistryCacheOrigin,
  RegistryCacheTarget,
} from "@buildkit-ts/remotecache";
import { SessionBlobs, SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import type { CacheStore } from "@buildkit-ts/solver";
import { refOfResult, WorkerResult } from "@buildkit-ts/worker";

/** What remote caches work with. */
export interface RemoteCachesOptions {
  readonly cache: CacheManager;
  readonly content: ContentStore;
  readonly registry: RegistryClient;
  readonly sessions: SessionManager;
  readonly workerId: string;
  readonly reporter: ErrorReporter;
}

/** What the exports to object stores are called. */
const storeVertices: Readonly<Record<StoreType, string>> = {
  s3: "exporting cache to Amazon S3",
  azblob: "exporting cache to Azure Blob Storage",
  gha: "exporting to GitHub Actions Cache",
};

/** Constructs the exports and imports of caches, by the type that clients name. */
export class RemoteCaches {
  readonly #options: RemoteCachesOptions;

  constructor(options: RemoteCachesOptions) {
    this.#options = options;
  }

  /** @throws {BuildError} `invalid_argument`, for an unknown type or an attribute with a value that cannot be used. */
  exporter(type: string, attributes: CacheAttributes): CacheExporter {
    const scope = parseExportScope(attributes);
    if (type === "registry") return this.#registryExporter(attributes, scope);
    if (type === "local") return this.#clientExporter(attributes, scope);
    if (type === "inline") {
      return {
        name: "exporting inline cache",
        ...scope,
        export: async () => await Promise.resolve({}),
        inline: async (result, image, context) =>
          await makeInlineCache(result, { ...image, refOf: refOfResult }, context),
      };
    }
    if (isStoreType(type)) return this.#storeExporter(type, attributes, scope);
    throw new BuildError("invalid_argument", `unknown cache exporter: ${JSON.stringify(type.slice(0, 100))}`);
  }

  /** @throws {BuildError} `not_found`, where there is no cache; `invalid_argument`, for what is none. */
  async import(type: string, attributes: CacheAttributes, context: CacheContext): Promise<CacheStore> {
    const { cache, content, workerId } = this.#options;
    const services = { cache, content, resultOf: (ref: WorkerResult["value"]) => new WorkerResult(workerId, ref) };
    if (isStoreType(type))
      return await importCacheFromStore(this.#openStore("importer", type, attributes), services, context);
    return await importCache(this.#origin(type, attributes, context), services, context);
  }

  #origin(type: string, attributes: CacheAttributes, context: CacheContext): CacheOrigin {
    const { registry, sessions } = this.#options;
    if (type === "local") return new ClientCacheOrigin(attributes, { sessions, session: context.session });
    if (type === "registry") {
      const reference = parseCacheReference(attributes);
      return new RegistryCacheOrigin({ registry, sessions, reference, insecure: parseInsecure(attributes) });
    }
    throw new BuildError("invalid_argument", `unknown cache importer: ${type.slice(0, 100)}`);
  }

  #registryExporter(attributes: CacheAttributes, scope: CacheExportScope): CacheExporter {
    const { registry, sessions } = this.#options;
    const format = parseCacheFormat(attributes);
    const reference = parseCacheReference(attributes);
    const insecure = parseInsecure(attributes);
    return {
      name: "exporting cache to registry",
      ...scope,
      export: async (results, context) => {
        const credentials = new SessionCredentials({ sessions, ids: () => context.sessions() });
        const target = new RegistryCacheTarget(registry, reference, { credentials, ...(insecure && { insecure }) });
        return await exportCache(results, { target, format, mode: scope.mode, refOf: refOfResult }, context);
      },
    };
  }

  #clientExporter(attributes: CacheAttributes, scope: CacheExportScope): CacheExporter {
    const { sessions } = this.#options;
    const directory = attributes["dest"];
    if (directory === undefined || directory === "")
      throw new BuildError("invalid_argument", "local cache exporter requires dest");
    const format = parseCacheFormat(attributes);
    return {
      name: "exporting cache to client directory",
      ...scope,
      export: async (results, context) => {
        if (context.session === "")
          throw new BuildError("invalid_argument", "local cache exporter/importer requires session");
        const caller = await sessions.get(context.session, { signal: context.signal });
        const target: CacheTarget = new ClientCacheTarget(new SessionBlobs(caller, `local:${directory}`));
        return await exportCache(results, { target, format, mode: scope.mode, refOf: refOfResult }, context);
      },
    };
  }

  #storeExporter(type: StoreType, attributes: CacheAttributes, scope: CacheExportScope): CacheExporter {
    const store = this.#openStore("exporter", type, attributes);
    return {
      name: storeVertices[type],
      ...scope,
      export: async (results, context) =>
        await exportCacheToStore(results, { store, mode: scope.mode, refOf: refOfResult }, context),
    };
  }

  #openStore(role: "exporter" | "importer", type: StoreType, attributes: CacheAttributes): ObjectStore {
    try {
      return openObjectStore(type, attributes, { environment: process.env, reporter: this.#options.reporter });
    } catch (error) {
      const { code, message } = BuildError.from(error);
      throw new BuildError(code, `failed to configure ${type} cache ${role}: ${message}`, { cause: error });
    }
  }
}
