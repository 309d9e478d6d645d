/** What a page of ours may load: its own files. Styles may also stand in the page. */
export const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** A document that is not ours, such as a file that a job wrote: it is shown, and can do nothing. */
const foreignPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'";

/** A page of ours. `{ policy }` when it needs another than `pagePolicy`. */
export function htmlPage(html: string, options: { status?: number; policy?: string } = {}): Response {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-cache",
    "content-security-policy": options.policy ?? pagePolicy,
  };
  return new Response(html, { status: options.status ?? 200, headers });
}

/**
 * Adds what every answer to a browser's navigation carries; a document that came without a policy gets the strictest.
 */
export function secureForBrowser({ headers }: Response): void {
  headers.set("x-content-type-options", "nosniff");
  headers.set("referrer-policy", "no-referrer");
  const type = headers.get("content-type") ?? "";
  if (!/^(?:text\/html|image\/svg|application\/xhtml|text\/xml|application\/xml)/i.test(type)) return;
  headers.set("x-frame-options", "DENY");
  headers.set("cross-origin-opener-policy", "same-origin");
  if (!headers.has("content-security-policy")) headers.set("content-security-policy", foreignPolicy);
}

/** Text for a place between tags or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return Bun.escapeHTML(text);
}
