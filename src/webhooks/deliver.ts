import { isConnectionFault, type Sql } from "../db/client.ts";
import {
  type DeliveryAttempt,
  type DeliveryVerdict,
  type DueDelivery,
  nextDueMs,
  recordAttempt,
  takeDue,
} from "../engine/delivery-queue.ts";
import type { Log } from "../log.ts";
import { type HeaderMap, mergeHeaders } from "./headers.ts";
import type { Networks } from "./networks.ts";
import { post, type PostOutcome } from "./post.ts";
import { nextAttempt, type RetrySettings } from "./schedule.ts";
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
};

const concurrencyMax = 32;
const perHostMax = 4;
const pollMs = 5_000;
const claimMarginS = 15;
/** The transaction that wrote a delivery may need a moment to be visible. */
const wakeDelayMs = 5;
const keptResponseChars = 1_000;

/**
 * Hands deliveries to their receivers: at least once, each try recorded, the next one at its time. Several processes may
 * run one each; a slow host gets few connections, so that it cannot hold up the others.
 */
export class Sender {
  readonly #options: SenderOptions;
  readonly #stopping = new AbortController();
  readonly #hosts = new Map<string, number>();
  #active = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #looking = false;
  #lookAgain = false;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Looks for due deliveries soon: one has been written. */
  wake(): void {
    this.#schedule(wakeDelayMs);
  }

  /** Ends running attempts; they are due again on whatever node looks next. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    while (this.#active > 0) await Bun.sleep(10);
  }

  #schedule(ms: number): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    let waitMs = pollMs;
    try {
      const free = concurrencyMax - this.#active;
      const due = free > 0 ? await takeDue(this.#options.sql, free, this.#options.timeoutMs / 1000 + claimMarginS) : [];
      for (const delivery of due) void this.#handOver(delivery);
      if (due.length < free)
        waitMs = Math.min(pollMs, Math.max((await nextDueMs(this.#options.sql)) ?? pollMs, wakeDelayMs));
    } catch (fault) {
      if (!isConnectionFault(fault)) this.#options.log.error("looking for deliveries failed", { fault });
    } finally {
      this.#looking = false;
      this.#schedule(this.#lookAgain ? wakeDelayMs : waitMs);
      this.#lookAgain = false;
    }
  }

  async #handOver(due: DueDelivery): Promise<void> {
    this.#active++;
    const host = hostOf(due.url);
    try {
      if ((this.#hosts.get(host) ?? 0) >= perHostMax) await this.#hostIsFree(host);
      this.#hosts.set(host, (this.#hosts.get(host) ?? 0) + 1);
      const at = new Date().toISOString();
      const outcome = await this.#attempt(due).finally(() => this.#leaveHost(host));
      if (outcome.kind !== "interrupted") await this.#record(due, at, outcome);
    } catch (fault) {
      this.#options.log.error("a delivery could not be recorded", { delivery: due.id, fault });
    } finally {
      this.#active--;
      this.#schedule(wakeDelayMs);
    }
  }

  async #hostIsFree(host: string): Promise<void> {
    while ((this.#hosts.get(host) ?? 0) >= perHostMax && !this.#stopping.signal.aborted) await Bun.sleep(20);
  }

  #leaveHost(host: string): void {
    const left = (this.#hosts.get(host) ?? 1) - 1;
    if (left <= 0) this.#hosts.delete(host);
    else this.#hosts.set(host, left);
  }

  async #attempt(due: DueDelivery): Promise<PostOutcome> {
    const { secrets, allow, timeoutMs, headers, sealKeys } = this.#options;
    const own = due.sealed === null ? {} : openHeaders(due.sealed, sealKeys);
    if (own === null)
      return {
        kind: "failed",
        reason: "its headers were sealed with a key that this node does not have",
        durationMs: 0,
      };
    const base = { "Content-Type": due.contentType, "User-Agent": "Andera" };
    const signed = sign({ id: due.id, timestampS: Date.now() / 1000, body: due.body, secrets });
    return post({
      url: due.url,
      headers: mergeHeaders(base, headers, own, signed),
      body: due.body,
      timeoutMs,
      allow,
      signal: this.#stopping.signal,
    });
  }

  async #record(due: DueDelivery, at: string, outcome: Exclude<PostOutcome, { kind: "interrupted" }>): Promise<void> {
    const verdict = nextAttempt({
      attempt: due.attempt,
      outcome,
      settings: this.#options.retries,
      random: Math.random(),
    });
    const next: DeliveryVerdict =
      verdict.kind === "retry"
        ? { state: "pending", afterMs: verdict.afterMs }
        : { state: verdict.kind === "delivered" ? "delivered" : "failed" };
    await recordAttempt(this.#options.sql, due, attemptOf(at, outcome), next);
    if (verdict.kind === "delivered")
      this.#options.log.info("webhook delivered", { delivery: due.id, job: due.jobId, attempt: due.attempt });
    else
      this.#options.log.warn("webhook attempt failed", {
        delivery: due.id,
        job: due.jobId,
        attempt: due.attempt,
        then: verdict.kind,
        reason: reasonOf(outcome),
      });
  }
}

function attemptOf(at: string, outcome: Exclude<PostOutcome, { kind: "interrupted" }>): DeliveryAttempt {
  if (outcome.kind === "answered") {
    return {
      at,
      status: outcome.status,
      duration_ms: outcome.durationMs,
      response: outcome.responseText.slice(0, keptResponseChars),
      error: null,
    };
  }
  return {
    at,
    status: null,
    duration_ms: outcome.kind === "failed" ? outcome.durationMs : 0,
    response: null,
    error: outcome.reason,
  };
}

function reasonOf(outcome: Exclude<PostOutcome, { kind: "interrupted" }>): string {
  return outcome.kind === "answered" ? `answered ${outcome.status}` : outcome.reason;
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}
