import { type FileStat, isDirectory } from "./file-stat.ts";

interface Parent {
  readonly stat: FileStat;
  isTouched: boolean;
}

/** The directories that the current entry of a list is in, and whether their contents change. */
export class ParentDirectories {
  readonly #levels: Parent[] = [];
  readonly #touch: (directory: FileStat) => void;
  #isInItself = false;

  /** @param touch Told once of each directory in which something changes. */
  constructor(touch: (directory: FileStat) => void) {
    this.#touch = touch;
  }

  /** Moves on to the next entry of the list. */
  enter(stat: FileStat): void {
    for (let last = this.#levels.at(-1); last !== undefined; last = this.#levels.at(-1)) {
      if (isBelow(stat.path, last.stat.path)) break;
      this.#levels.pop();
    }
    this.#isInItself = isDirectory(stat);
    if (this.#isInItself) this.#levels.push({ stat, isTouched: false });
  }

  /** The current entry is changed. */
  touchCurrent(): void {
    this.#touchLevel(this.#levels.at(this.#isInItself ? -2 : -1));
  }

  /** What has this path is changed, if one of these directories has it. */
  touch(path: string): void {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    this.#touchLevel(this.#levels.findLast(({ stat }) => stat.path === parent));
  }

  #touchLevel(level: Parent | undefined): void {
    if (level === undefined || level.isTouched) return;
    level.isTouched = true;
    this.#touch(level.stat);
  }
}

function isBelow(path: string, directory: string): boolean {
  return path.charCodeAt(directory.length) === 0x2f && path.startsWith(directory);
}
