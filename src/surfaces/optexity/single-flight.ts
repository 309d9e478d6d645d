/** Lets callers that ask for the same thing at the same time share one answer. */
export class SingleFlight<T> {
  readonly #flying = new Map<string, Promise<T>>();

  /** What `work` resolves to, or what the call under way with this key does. */
  share(key: string, work: () => Promise<T>): Promise<T> {
    const flying = this.#flying.get(key);
    if (flying !== undefined) return flying;
    const started = work().finally(() => this.#flying.delete(key));
    this.#flying.set(key, started);
    return started;
  }
}
