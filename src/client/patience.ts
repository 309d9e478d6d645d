import { ApiError, ConnectionError, isPassing } from "./api-error.ts";

export type ReconnectOptions = {
  signal?: AbortSignal;
  /** Milliseconds without any answer after which the service is given up; five minutes unless said. */
  patienceMs?: number;
  /** Called before each wait for the next try. */
  onReconnect?(reason: Error, waitMs: number): void;
};

/** Decides how long to wait for a service that went away, such as one that is restarted. */
export type Patience = {
  /** The service has answered. */
  met(): void;
  /** What the server asks to wait before a reconnect. */
  retryMs: number;
  /** Resolves when it is time for the next try. Throws `fault` when it does not pass by itself or the patience is over, or the signal's reason. */
  wait(fault: unknown): Promise<void>;
};

const patienceUsualMs = 300_000;
const retryUsualMs = 1_000;
const doublingsMax = 4;

export function createPatience({ signal, patienceMs = patienceUsualMs, onReconnect }: ReconnectOptions): Patience {
  let failures = 0;
  let metAtMs = Date.now();
  return {
    retryMs: retryUsualMs,
    met() {
      failures = 0;
      metAtMs = Date.now();
    },
    async wait(fault) {
      signal?.throwIfAborted();
      if (!(fault instanceof Error) || !isPassing(fault)) throw fault;
      const waitMs = waitAfter(fault, this.retryMs * 2 ** Math.min(failures++, doublingsMax));
      if (Date.now() + waitMs - metAtMs > patienceMs) throw fault;
      onReconnect?.(fault, waitMs);
      await pause(waitMs, signal);
    },
  };
}

/** The end of a stream before the end of what it tells. */
export function brokenOff(cause?: unknown): ConnectionError {
  return new ConnectionError("The stream broke off", { cause });
}

/** Some more or less, so that all readers of a service that was restarted do not come back at once. */
function waitAfter(fault: Error, backoffMs: number): number {
  const askedMs = fault instanceof ApiError ? (fault.retryAfterSeconds ?? 0) * 1_000 : 0;
  return Math.max(askedMs, backoffMs * (0.75 + Math.random() / 2));
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
