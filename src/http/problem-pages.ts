import { Elysia } from "elysia";
import { auth } from "./auth.ts";
import type { Gate } from "./gate.ts";
import { escapeHtml, htmlPage } from "./html.ts";
import { problemKinds, refuseWithProblem } from "./problem.ts";
import { type RefusalCode, refusal, usualStatus } from "./refusal.ts";

/** The pages that the `type` of problems points at: what each means and what to do. */
export function problemPages(gate: Gate) {
  const hidden = { auth: "open", detail: { hide: true } } as const;
  return new Elysia({ name: "problem-pages" })
    .use(auth(gate, refuseWithProblem))
    .get("/problems", () => pageOf("Problems", list()), hidden)
    .get(
      "/problems/:code",
      ({ params: { code }, request }) =>
        isCode(code)
          ? pageOf(problemKinds[code].title, entry(code))
          : refuseWithProblem(refusal(request, "not_found", `There is no problem called ${code.slice(0, 100)}`)),
      hidden,
    );
}

function isCode(text: string): text is RefusalCode {
  return Object.hasOwn(problemKinds, text);
}

function list(): string {
  return (Object.keys(problemKinds) as RefusalCode[])
    .map((code) => `<h2><a href="/problems/${code}">${code}</a></h2>${entry(code)}`)
    .join("");
}

function entry(code: RefusalCode): string {
  return `<p><code>${usualStatus[code]} ${code}</code></p><p>${escapeHtml(problemKinds[code].meaning)}</p>`;
}

function pageOf(title: string, body: string): Response {
  return htmlPage(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head><body><h1>${escapeHtml(title)}</h1>${body}</body></html>`,
  );
}
