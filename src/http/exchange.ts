/** What the exchange needs of `Bun.serve`'s server. */
export type Connections = {
  requestIP(request: Request): { address: string } | null;
  timeout(request: Request, seconds: number): void;
};

/** Seconds after which a connection that was cut is closed; the listener's clock is four seconds coarse. */
const cutAfterS = 1;

/** What the listener knows of a request before any route sees it, and what routes tell it for the log. */
export class Exchange {
  readonly id: string;
  readonly startedMs: number;
  /** Who asks, once a guard has let the request in. */
  client = "";
  /** Bytes of the answer's body, when they are known. */
  bytes: number | null = null;
  readonly #request: Request;
  readonly #connections: Connections | null;
  #peer: string | null = null;

  constructor(request: Request, connections: Connections | null, id: string) {
    this.#request = request;
    this.#connections = connections;
    this.id = id;
    this.startedMs = performance.now();
  }

  /** Remote address of the connection; empty when the request did not come through a listener. */
  get peer(): string {
    this.#peer ??= this.#connections?.requestIP(this.#request)?.address ?? "";
    return this.#peer;
  }

  /** Ends the connection within seconds, even when its reader takes nothing. */
  cut(): void {
    this.#connections?.timeout(this.#request, cutAfterS);
  }
}

const exchanges = new WeakMap<Request, Exchange>();
let newestRequest: Request | null = null;
let newest: Exchange | null = null;

/**
 * From here on `exchangeOf` knows the request. Until another one opens it is only remembered, because most are answered
 * before that, and an entry in the map would cost them more than their guard does.
 */
export function openExchange(request: Request, exchange: Exchange): void {
  if (newestRequest !== null && newest !== null) exchanges.set(newestRequest, newest);
  newestRequest = request;
  newest = exchange;
}

/** The answer is on its way: nobody asks for the exchange any more. */
export function closeExchange(request: Request): void {
  if (newestRequest !== request) return;
  newestRequest = null;
  newest = null;
}

/** The exchange of a request; for one that came through no listener, one that knows nothing. */
export function exchangeOf(request: Request): Exchange {
  if (request === newestRequest && newest !== null) return newest;
  const known = exchanges.get(request);
  if (known !== undefined) return known;
  const unknown = new Exchange(request, null, "");
  exchanges.set(request, unknown);
  return unknown;
}

/** The id under which this request is found in the log. */
export function requestId(request: Request): string {
  return exchangeOf(request).id;
}
