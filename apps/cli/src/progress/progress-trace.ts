import type { StatusResponse, Vertex } from "@buildkit-ts/api/buildkit/control";
import { milliseconds } from "../output/format-time.ts";
import { TerminalWindow } from "./terminal-window.ts";
import { TracedVertex } from "./traced-vertex.ts";

interface Group {
  readonly vertex: TracedVertex;
  readonly members: Map<string, Vertex>;
}

/** The state of a build, put together from its progress messages. */
export class ProgressTrace {
  /** All steps that started, in that order; members of a group are shown as the group. */
  readonly started: TracedVertex[] = [];
  readonly byDigest: Map<string, TracedVertex> = new Map();
  /** Steps about which there is something new. */
  readonly updated: Set<TracedVertex> = new Set();
  /** When the build began, by this machine's clock, in milliseconds since the epoch. */
  startedAt: number | undefined;
  /** What has to be added to the daemon's times to get this machine's. */
  clockDifference = 0;
  readonly #groups = new Map<string, Group>();
  readonly #withWindows: boolean;

  /** @param options.withWindows Keeps what a step's output looks like on a terminal. */
  constructor(options: { readonly withWindows: boolean }) {
    this.#withWindows = options.withWindows;
  }

  /** Steps as they are shown and counted: groups, and what is in none. */
  get visible(): ReadonlySet<TracedVertex> {
    return new Set([...this.byDigest.values()].filter((vertex) => !vertex.isHidden));
  }

  update(status: StatusResponse): void {
    const groups = new Set<Group>();
    for (const vertex of status.vertexes) {
      const group = this.#groupOf(vertex);
      if (group === undefined) this.#updateVertex(vertex);
      else groups.add(group);
    }
    for (const group of groups) this.#updateGroup(group);
    for (const entry of status.statuses) this.#touch(entry.vertex, (vertex) => vertex.addStatus(entry));
    for (const warning of status.warnings) {
      const vertex = this.byDigest.get(warning.vertex);
      vertex?.warnings.push(warning);
      vertex?.count(1);
    }
    for (const log of status.logs) {
      const at = log.timestamp === undefined ? 0 : milliseconds(log.timestamp);
      this.#touch(log.vertex, (vertex) => vertex.addLog(log.msg, at));
    }
  }

  #touch(digest: string, change: (vertex: TracedVertex) => void): void {
    const vertex = this.byDigest.get(digest);
    if (vertex === undefined) return;
    change(vertex);
    this.updated.add(vertex);
    vertex.count(1);
  }

  #updateVertex(message: Vertex): void {
    const vertex = this.byDigest.get(message.digest) ?? this.#create(message.digest);
    this.byDigest.set(message.digest, vertex);
    const wasStarted = vertex.isStarted;
    if (vertex.update(message)) {
      vertex.count(1);
      this.updated.add(vertex);
    }
    if (wasStarted || !vertex.isStarted) return;
    this.#noteStart(vertex);
    this.started.push(vertex);
  }

  #groupOf(message: Vertex): Group | undefined {
    const { progressGroup } = message;
    if (progressGroup === undefined) return undefined;
    let group = this.#groups.get(progressGroup.id);
    if (group === undefined) {
      group = { vertex: this.#create(progressGroup.id), members: new Map() };
      group.vertex.name = progressGroup.name;
      group.vertex.isHidden = true;
      this.#groups.set(progressGroup.id, group);
      this.byDigest.set(progressGroup.id, group.vertex);
    }
    group.members.set(message.digest, message);
    this.byDigest.set(message.digest, group.vertex);
    return group;
  }

  #updateGroup({ vertex, members }: Group): void {
    const before = { hidden: vertex.isHidden, cached: vertex.isCached, error: vertex.error, started: vertex.isStarted };
    let changed = false;
    for (const member of members.values()) {
      if (vertex.addInterval(member)) changed = true;
      vertex.error ||= member.error;
    }
    vertex.isCached = [...members.values()].every((member) => member.cached);
    vertex.isHidden = vertex.error === "" && ![...members.values()].some(isLeading);
    if (!before.started && vertex.isStarted) this.#noteStart(vertex);
    if (vertex.isHidden) return;
    if (before.hidden) this.started.push(vertex);
    if (changed || before.hidden || before.cached !== vertex.isCached || before.error !== vertex.error) {
      vertex.count(1);
      this.updated.add(vertex);
    }
  }

  #noteStart(vertex: TracedVertex): void {
    const start = vertex.merged[0]?.start;
    if (start === undefined || this.startedAt !== undefined) return;
    this.clockDifference = Date.now() - start;
    this.startedAt = Date.now();
  }

  #create(digest: string): TracedVertex {
    return new TracedVertex(digest, this.#withWindows ? new TerminalWindow() : undefined);
  }
}

/** Whether a member of a group ran that is more than a subordinate one: then the group is shown. */
function isLeading(member: Vertex): boolean {
  return member.started !== undefined && member.progressGroup?.weak !== true;
}
