import type { Page, Request, Response } from "playwright-core";

export type NetworkCall = {
  url: string;
  method: string;
  requestHeaders: Record<string, string>;
  requestBody: string | null;
  status: number | null;
  responseHeaders: Record<string, string>;
  /** The response's body; null when there is none, it was too large, or the browser no longer has it. */
  responseBody: () => Promise<Buffer | null>;
};

const callsMax = 1_000;
const bodyBytesMax = 5 * 1_024 * 1_024;
const bodiesBytesMax = 64 * 1_024 * 1_024;

/** The requests that the pages of a task have made since the last interaction, for documents that look at them. */
export class NetworkLog {
  #calls: NetworkCall[] = [];
  #bodyBytes = 0;

  listen(page: Page): void {
    page.on("response", (response) => this.#add(response));
  }

  clear(): void {
    this.#calls = [];
    this.#bodyBytes = 0;
  }

  /** Calls whose URL contains the pattern; all of them without one. */
  matching(urlPattern: string | null): NetworkCall[] {
    return this.#calls.filter((call) => urlPattern === null || call.url.includes(urlPattern));
  }

  #add(response: Response): void {
    if (this.#calls.length >= callsMax) return;
    const request = response.request();
    // Read at once: after the next navigation the browser no longer has it.
    const body = isData(request) ? this.#read(response) : null;
    this.#calls.push({
      url: request.url(),
      method: request.method(),
      requestHeaders: request.headers(),
      requestBody: request.postData(),
      status: response.status(),
      responseHeaders: response.headers(),
      responseBody: () => body ?? this.#read(response),
    });
  }

  async #read(response: Response): Promise<Buffer | null> {
    const announced = Number(response.headers()["content-length"] ?? 0);
    if (announced > bodyBytesMax || this.#bodyBytes > bodiesBytesMax) return null;
    try {
      const body = await response.body();
      this.#bodyBytes += body.length;
      return body.length > bodyBytesMax ? null : body;
    } catch {
      // Redirects have no body, and the browser drops bodies of pages it has left.
      return null;
    }
  }
}

function isData(request: Request): boolean {
  return ["fetch", "xhr", "document"].includes(request.resourceType());
}
