import type { Database } from "../db/client.ts";
import type { Queue } from "../queue/boss.ts";
import type { Claimed } from "./claimed.ts";
import type { Render } from "./deliveries.ts";
import type { Hub } from "./hub.ts";
import type { NeedBook } from "./need-book.ts";
import type { Requires } from "./needs.ts";
import type { Tally } from "./tally.ts";

/**
 * The right to start a task at once, without the queue. Given by the worker of this node: `reserve` takes a slot or
 * says no, `run` uses it once the job is committed, `release` gives it back when it was not.
 */
export type FastLane = {
  /** `inPlaceOf` names a run whose end this follows on: it may have that run's slot. */
  reserve(runner: string, target: string, options?: { requires?: Requires | null; inPlaceOf?: string }): boolean;
  run(task: Claimed): void;
  release(runner: string): void;
  /** A message was put in this queue. */
  wake(queue: string): void;
  /** Whether this node has and knows what it takes; an empty `target` is one that it need not know. */
  canRun(runner: string, target: string): boolean;
  /** Whether this node is what is asked for. */
  offers(requires: Requires | null): boolean;
};

/** What every engine function works with. */
export type Engine = {
  db: Database;
  queue: Queue;
  nodeId: string;
  /** Names this process among those that listen; without colons. */
  self: string;
  hub: Hub;
  needs: NeedBook;
  /** The tag of the disk that has the files of this node's jobs; null where every node reaches them. */
  disk: string | null;
  /** Waiting tasks above which submissions are refused. */
  queueMax: number;
  /** Absent on a node that does no work. */
  lane: FastLane | null;
  /** How each kind of webhook is told about a job. */
  renders: Record<string, Render>;
  /** A delivery has been written and may be sent once its transaction is through. */
  onDelivery(): void;
  /** A job that somebody may want to hear of while it runs has written output. */
  onOutput(jobId: string): void;
  /** A job that may run on this node was asked to stop. */
  onStop(jobId: string): void;
  /** What this node knows of the others, renewed with its lease. */
  view: View;
  /** What this process has done, for the metrics. */
  tally: Tally;
};

export type View = {
  /** The database's clock less this machine's, in ms. */
  clockAheadMs: number;
  /** Other nodes live on this database: they must be told what happens here. */
  hasPeers: boolean;
  /** When this node last committed a job, or the end of one, by the clock that nobody sets; in ms. */
  wroteAtMs: number;
  /** Waiting tasks, counted a moment ago, plus what this node has put since. */
  waiting: number;
  paused: ReadonlySet<string>;
  draining: boolean;
  maintenance: boolean;
  /** Other nodes that had free slots when this one last asked, by runner; all of them taken together. */
  idlePeers: Readonly<Record<string, PeerSlots>>;
};

export type PeerSlots = { nodes: number; used: number; limit: number };
