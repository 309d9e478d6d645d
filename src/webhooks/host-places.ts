import { hostKey } from "../engine/delivery-queue.ts";

/**
 * Counts deliveries under way per host, so that a slow one holds few places. Spellings of one host share its places; the database
 * knows hosts by their spelling, so every spelling seen of a full host is told to it.
 */
export class HostPlaces {
  readonly #hosts = new Map<string, { used: number; keys: Set<string> }>();

  constructor(readonly most: number) {}

  /** Takes a place, or says that the host has none left. */
  enter(url: string): boolean {
    const name = nameOf(url);
    const host = this.#hosts.get(name) ?? { used: 0, keys: new Set<string>() };
    host.keys.add(hostKey(url));
    if (host.used >= this.most) return false;
    host.used += 1;
    this.#hosts.set(name, host);
    return true;
  }

  leave(url: string): void {
    const name = nameOf(url);
    const host = this.#hosts.get(name);
    if (host === undefined) return;
    host.used -= 1;
    if (host.used <= 0) this.#hosts.delete(name);
  }

  /** Spellings of the hosts without a free place. */
  busy(): string[] {
    return [...this.#hosts.values()].filter(({ used }) => used >= this.most).flatMap(({ keys }) => [...keys]);
  }
}

function nameOf(url: string): string {
  return URL.parse(url)?.host ?? "";
}
