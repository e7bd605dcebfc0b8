import { constants } from "node:fs";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  AT_REMOVEDIR,
  chownAt,
  hasErrno,
  lstatAt,
  mkdirAt,
  O_PATH,
  type OpenFile,
  RootedDirectory,
  readNames,
  unlinkAt,
  utimesAt,
} from "@buildkit-ts/sys";
import { parseNumericUser, resolveUser } from "./container-user.ts";
import { isMountedOver, leadsThroughDescriptor } from "./descriptor-path.ts";
import type { RuntimeUser } from "./runtime-spec.ts";

const maxAccountFileBytes = 10 << 20;
const maxLinks = 40;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** A container's mounted root: everything here treats its content as an enemy's. */
export class RootFileSystem implements Disposable {
  readonly #root: RootedDirectory;

  constructor(path: string) {
    this.#root = RootedDirectory.open(path);
  }

  /** @throws {BuildError} `invalid_argument`, for a user or group that the account files do not have. */
  resolveUser(spec: string): RuntimeUser {
    return (
      parseNumericUser(spec) ??
      resolveUser(spec, { passwd: this.#readAccounts("/etc/passwd"), group: this.#readAccounts("/etc/group") })
    );
  }

  #readAccounts(path: string): string | undefined {
    try {
      return this.#root.readFile(path, { maxBytes: maxAccountFileBytes }).toString("utf8");
    } catch (error) {
      // Whatever keeps it from being read, names cannot be found then; numbers still can.
      if (hasErrno(error, "ENOENT", "ENOTDIR", "EINVAL", "ELOOP", "EACCES", "ENXIO")) return undefined;
      if (hasErrno(error, "EFBIG")) {
        throw new BuildError("invalid_argument", `"${path}" exceeds ${maxAccountFileBytes} bytes`, { cause: error });
      }
      throw error;
    }
  }

  /** Makes the working directory and its parents where they are missing. @throws {BuildError} `invalid_argument`. */
  ensureDirectory(path: string, owner: { readonly uid: number; readonly gid: number }): void {
    this.refuseDescriptor(path);
    try {
      this.#ensureDirectory(path, owner);
    } catch (error) {
      throw new BuildError("invalid_argument", `failed to create working directory ${path}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /**
   * Refuses a working directory that leads through an open file, whichever the runtime is and whatever it leaves open.
   *
   * @throws {BuildError} `invalid_argument`.
   */
  refuseDescriptor(path: string): void {
    this.#resolve(path, (current) => {
      if (!leadsThroughDescriptor(current)) return;
      throw new BuildError("invalid_argument", `Cannot use working directory "${path}": it leads through an open file`);
    });
  }

  #ensureDirectory(path: string, owner: { readonly uid: number; readonly gid: number }): void {
    if (this.#exists(path)) return;
    let current = "/";
    for (const name of posix
      .normalize(`/${path}`)
      .split("/")
      .filter((part) => part !== "")) {
      const next = posix.join(current, name);
      if (!this.#exists(next)) {
        using parent = this.#root.openDirectory(current);
        const at = { fd: parent.fd, path: name };
        mkdirAt(at, 0o755);
        chownAt(at, owner.uid, owner.gid);
      }
      current = next;
    }
  }

  #exists(path: string): boolean {
    try {
      using _file = this.#root.open(path, O_PATH);
      return true;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  /**
   * Finds which of the mount points do not exist yet, so that the files and directories that the runtime makes for them can
   * be taken away after the step: layers shall hold what the step did, nothing else.
   *
   * @param options.recursive Also parents that the runtime has to make.
   * @returns Paths without symbolic links, each before its parents.
   */
  findMountStubs(destinations: readonly string[], options: { readonly recursive: boolean }): string[] {
    return destinations.flatMap((destination) => {
      const stubs: string[] = [];
      let path = this.#resolve(destination);
      while (path !== undefined && path !== "/" && !this.#hasName(path)) {
        stubs.push(path);
        if (!options.recursive) break;
        path = posix.dirname(path);
      }
      return stubs;
    });
  }

  /**
   * The path with all symbolic links followed, also where it ends in names that do not exist; undefined for a loop.
   *
   * @param visit Told each place on the way.
   */
  #resolve(path: string, visit: (current: string) => void = () => undefined): string | undefined {
    const pending = path.split("/").toReversed();
    let current = "/";
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === "" || name === ".") continue;
      const next = posix.join(current, name);
      const target = name === ".." ? undefined : this.#findLink(next);
      if (target === undefined) {
        current = next;
        visit(current);
        continue;
      }
      links += 1;
      if (links > maxLinks) return undefined;
      if (target.startsWith("/")) current = "/";
      pending.push(...target.split("/").toReversed());
    }
    return current;
  }

  #findLink(path: string): string | undefined {
    // What an image has here is covered by what the runtime mounts.
    if (isMountedOver(path)) return undefined;
    try {
      if (!this.#root.lstat(path).isSymbolicLink()) return undefined;
      return this.#root.readlink(path).toString();
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  #hasName(path: string): boolean {
    try {
      this.#root.lstat(path);
      return true;
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
      throw error;
    }
  }

  /** Removes stubs that are still empty, and leaves the times of their parents as they were. */
  removeMountStubs(stubs: readonly string[]): void {
    for (const stub of stubs) {
      try {
        this.#removeMountStub(stub);
      } catch (error) {
        // The step may have done anything to them, and it succeeded: what cannot be removed is its result.
        if (!hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENOTEMPTY", "EROFS", "EACCES", "EPERM", "EBUSY"))
          throw error;
      }
    }
  }

  #removeMountStub(path: string): void {
    const parentPath = posix.dirname(path);
    // Behind a link that the step made lies something else.
    if (this.#resolve(parentPath) !== parentPath) return;
    using parent = this.#root.openDirectory(parentPath);
    const at = { fd: parent.fd, path: posix.basename(path) };
    const stat = lstatAt(at);
    if (stat.isDirectory() ? !this.#isEmpty(path) : stat.sizeBytes !== 0) return;
    const times = parent.stat();
    unlinkAt(at, stat.isDirectory() ? AT_REMOVEDIR : 0);
    utimesAt({ fd: parent.fd, path: "." }, { accessNs: times.accessNs, modificationNs: times.modificationNs });
  }

  #isEmpty(path: string): boolean {
    using directory = this.#root.open(path, constants.O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    return readNames(directory.fd).length === 0;
  }

  /** Opens a path beneath the root, whatever it is. The descriptor is the caller's. */
  open(path: string): OpenFile {
    return this.#root.open(path, O_PATH);
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
