import type { Database } from "../db/client.ts";
import type { Queue } from "../queue/boss.ts";
import type { Claimed } from "./claimed.ts";
import type { Hub } from "./hub.ts";

/**
 * The right to start a task at once, without the queue. Given by the worker of this node: `reserve` takes a slot or
 * says no, `start` uses it once the job is committed, `release` gives it back when it was not.
 */
export type FastLane = {
  reserve(runner: string, target: string, priority: number): boolean;
  start(task: Claimed): void;
  release(runner: string): void;
};

/** What every engine function works with. */
export type Engine = {
  db: Database;
  queue: Queue;
  nodeId: string;
  hub: Hub;
  /** Waiting tasks above which submissions are refused. */
  queueMax: number;
  /** Absent on a node that does no work. */
  lane: FastLane | null;
  /** What this node knows of the others, renewed with its lease. */
  view: View;
};

export type View = {
  /** Other nodes live on this database: they must be told what happens here. */
  hasPeers: boolean;
  /** Waiting tasks, counted a moment ago, plus what this node has put since. */
  waiting: number;
  paused: ReadonlySet<string>;
  draining: boolean;
  maintenance: boolean;
};
