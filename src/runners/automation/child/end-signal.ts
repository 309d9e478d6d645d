import type { FailureCode } from "../../contract.ts";
import { AutomationFault } from "../automation-fault.ts";

/** The task cannot go on: the browser or its page is gone, or a limit was hit. No loop may carry on after it. */
export class TaskEnded extends AutomationFault {}

/** Ends whatever a task waits for at the moment something happens after which waiting is pointless. */
export class EndSignal {
  readonly #ended = Promise.withResolvers<never>();
  readonly #controller = new AbortController();
  #reason: TaskEnded | null = null;

  constructor() {
    // Nobody may be waiting when it ends; that alone is no error.
    this.#ended.promise.catch(() => undefined);
  }

  get reason(): TaskEnded | null {
    return this.#reason;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first reason counts. */
  end(message: string, code: FailureCode = "automation_error"): void {
    if (this.#reason !== null) return;
    this.#reason = new TaskEnded(message, { code });
    this.#ended.reject(this.#reason);
    this.#controller.abort(this.#reason);
  }

  /** The promise's own end, or the task's, whichever comes first. */
  async guard<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#ended.promise]);
  }

  /** Waits; ends at once when the task does. */
  async sleep(seconds: number): Promise<void> {
    if (seconds <= 0) return;
    let timer: Timer | undefined;
    const time = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, seconds * 1_000);
    });
    try {
      await this.guard(time);
    } finally {
      clearTimeout(timer);
    }
  }
}
