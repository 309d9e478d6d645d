import { type Buckets, createBuckets, observe, secondsBounds } from "../buckets.ts";
import { isConnectionFault, type Sql } from "../db/client.ts";
import { type DueDelivery, giveBack, nextDueMs, recordAttempt, takeDue } from "../engine/delivery-queue.ts";
import type { Log } from "../log.ts";
import { ClaimKeeper } from "./claim-keeper.ts";
import { buildBody, type DeliveryKind, filesGone } from "./delivery-kind.ts";
import { attemptOf, type Made, reasonOf } from "./attempt-record.ts";
import type { AttemptTracer } from "./attempt-trace.ts";
import { type HeaderMap, mergeHeaders } from "./headers.ts";
import { HostPlaces } from "./host-places.ts";
import type { Networks } from "./networks.ts";
import { post, type PostOutcome } from "./post.ts";
import { nextAttempt, type RetrySettings, type Verdict } from "./schedule.ts";
import { openHeaders, type SealKey } from "./seal.ts";
import { sign, type WebhookSecret } from "./sign.ts";

export type SenderOptions = {
  sql: Sql;
  log: Log;
  allow: Networks;
  timeoutMs: number;
  retries: RetrySettings;
  secrets: readonly WebhookSecret[];
  /** Headers of every delivery, from the configuration; a job's own win over them. */
  headers: HeaderMap;
  /** The key in use first, then those rotated out. */
  sealKeys: readonly SealKey[];
  /** What is different for the deliveries of some kinds of webhooks. */
  kinds?: Readonly<Record<string, DeliveryKind>>;
  /** Told of every attempt; null when nobody collects traces. */
  tracer?: AttemptTracer | null;
  /** Seconds beyond `timeoutMs` after which others may take a delivery whose process has died; 15 unless said. Longer attempts hold theirs. */
  claimMarginS?: number;
};

/** What has become of attempts since the process started, in plain numbers: handed over, to be tried again, given up. */
export type SenderTally = { delivered: number; retried: number; failed: number; readonly seconds: Buckets };

const concurrencyMax = 32;
const mostPerHost = 4;
const pollMs = 5_000;
const claimMarginUsualS = 15;
/** The transaction that wrote a delivery may need a moment to be visible. */
const wakeDelayMs = 5;
/** A delivery to a host that turned out to be busy goes behind those to others. */
const busyDelayMs = 250;

/**
 * Hands deliveries to their receivers: at least once, each try recorded, the next one at its time. Several processes may
 * run one each. A slow host gets few places and none waits for it, so that it cannot hold up the others.
 */
export class Sender {
  readonly tally: SenderTally = { delivered: 0, retried: 0, failed: 0, seconds: createBuckets(secondsBounds) };
  readonly #options: SenderOptions;
  readonly #stopping = new AbortController();
  readonly #places = new HostPlaces(mostPerHost);
  #active = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #lookAtMs = Number.POSITIVE_INFINITY;
  readonly #claimS: number;
  readonly #claims: ClaimKeeper;
  #looking = false;
  #lookAgain = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#claimS = options.timeoutMs / 1000 + (options.claimMarginS ?? claimMarginUsualS);
    this.#claims = new ClaimKeeper({ sql: options.sql, log: options.log, claimS: this.#claimS });
  }

  /** Looks for due deliveries soon: one has been written. */
  wake(): void {
    this.#lookIn(wakeDelayMs);
  }

  /** Ends running attempts; they are due again on whatever node looks next. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    while (this.#active > 0 || this.#looking) await Bun.sleep(10);
  }

  /** An earlier look that is planned already stays: waking again and again must not put it off. */
  #lookIn(ms: number): void {
    if (this.#looking) this.#lookAgain = true;
    const atMs = performance.now() + ms;
    if (this.#stopping.signal.aborted || this.#looking || atMs >= this.#lookAtMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#lookAtMs = atMs;
    this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    this.#lookAtMs = Number.POSITIVE_INFINITY;
    this.#looking = true;
    let waitMs = pollMs;
    try {
      waitMs = await this.#takeSome();
    } catch (fault) {
      if (!isConnectionFault(fault)) this.#options.log.error("looking for deliveries failed", { fault });
    }
    this.#looking = false;
    this.#lookIn(this.#lookAgain ? wakeDelayMs : waitMs);
    this.#lookAgain = false;
  }

  /** Starts what is due and has a place; returns when to look again. */
  async #takeSome(): Promise<number> {
    const { sql } = this.#options;
    const most = concurrencyMax - this.#active;
    // A place that comes free is looked after at once.
    if (most === 0) return pollMs;
    const taken = await takeDue(sql, { most, claimS: this.#claimS, mostPerHost, busyHosts: this.#places.busy() });
    const placed = Map.groupBy(taken, ({ url }) => !this.#stopping.signal.aborted && this.#places.enter(url));
    for (const due of placed.get(true) ?? []) void this.#handOver(due);
    const left = placed.get(false) ?? [];
    if (left.length > 0) await giveBack(sql, left, busyDelayMs);
    if (taken.length > 0) return wakeDelayMs;
    const nextMs = (await nextDueMs(sql, this.#places.busy())) ?? pollMs;
    return Math.min(pollMs, Math.max(nextMs, wakeDelayMs));
  }

  async #handOver(due: DueDelivery): Promise<void> {
    this.#active++;
    this.#claims.hold(due);
    try {
      const at = new Date().toISOString();
      const trace = this.#options.tracer?.begin(due);
      const traced = trace === undefined ? due : { ...due, traceparent: trace.traceparent };
      const outcome = await this.#attempt(traced).finally(() => this.#places.leave(due.url));
      trace?.end(outcome);
      if (outcome.kind === "interrupted") await giveBack(this.#options.sql, [due], 0);
      else await this.#record(due, at, outcome);
    } catch (fault) {
      this.#options.log.error("a delivery could not be recorded", { delivery: due.id, fault });
    } finally {
      this.#claims.release(due);
      this.#active--;
      this.#lookIn(wakeDelayMs);
    }
  }

  async #attempt(due: DueDelivery): Promise<PostOutcome> {
    const own = due.sealed === null ? {} : openHeaders(due.sealed, this.#options.sealKeys);
    if (own === null)
      return {
        kind: "failed",
        reason: "its headers were sealed with a key that this node does not have",
        durationMs: 0,
      };
    const kind = this.#kindOf(due);
    if (kind?.build === undefined) return this.#post(due, due, own);
    const built = await buildBody(kind, due, this.#stopping.signal);
    if ("outcome" in built) return built.outcome;
    try {
      return await this.#post(due, built, own);
    } finally {
      await built.close();
    }
  }

  #kindOf(due: DueDelivery): DeliveryKind | undefined {
    return due.kind === null ? undefined : this.#options.kinds?.[due.kind];
  }

  #post(due: DueDelivery, sent: { contentType: string; body: string | Blob }, own: HeaderMap): Promise<PostOutcome> {
    const { secrets, allow, timeoutMs, headers } = this.#options;
    const kind = this.#kindOf(due);
    const base = {
      "Content-Type": sent.contentType,
      "User-Agent": due.kind === "andera" ? "Andera" : "Fairlead",
      ...(due.traceparent === null ? {} : { traceparent: due.traceparent }),
    };
    // Signatures are over texts: archives are told apart by their id and their key.
    const [body, keys] = typeof sent.body === "string" ? [sent.body, secrets] : ["", []];
    const signed = sign({ id: due.id, timestampS: Date.now() / 1000, body, secrets: keys });
    return post({
      url: due.url,
      headers: mergeHeaders(base, headers, own, signed),
      body: sent.body,
      timeoutMs: kind?.timeoutMs ?? timeoutMs,
      allow: kind?.allow ?? allow,
      signal: this.#stopping.signal,
    });
  }

  async #record(due: DueDelivery, at: string, outcome: Made): Promise<void> {
    const { sql, log } = this.#options;
    const kind = this.#kindOf(due);
    const settings = kind?.retries ?? this.#options.retries;
    const isOver =
      outcome.kind === "answered"
        ? kind?.isFinal?.(outcome.status) === true
        : outcome.kind === "failed" && outcome.reason === filesGone;
    const verdict: Verdict = isOver
      ? { kind: "gone" }
      : nextAttempt({ attempt: due.attempt, outcome, settings, random: Math.random() });
    this.#count(verdict, outcome);
    const facts = { delivery: due.id, job: due.jobId, attempt: due.attempt };
    if (verdict.kind === "retry") {
      await recordAttempt(sql, due, attemptOf(at, outcome), { state: "pending", afterMs: verdict.afterMs });
    } else {
      const state = verdict.kind === "delivered" ? "delivered" : "failed";
      await recordAttempt(sql, due, attemptOf(at, outcome), { state });
    }
    if (verdict.kind === "delivered") log.info("webhook delivered", facts);
    else log.warn("webhook attempt failed", { ...facts, next: verdict.kind, reason: reasonOf(outcome) });
  }

  #count(verdict: Verdict, outcome: Made): void {
    if (verdict.kind === "delivered") this.tally.delivered++;
    else if (verdict.kind === "retry") this.tally.retried++;
    else this.tally.failed++;
    if (outcome.kind !== "refused") observe(this.tally.seconds, outcome.durationMs / 1_000);
  }
}
