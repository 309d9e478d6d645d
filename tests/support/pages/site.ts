import { join } from "node:path";

export type Site = AsyncDisposable & { url(path: string): string; requests: string[] };

const report = "id,total\n1,2\n";
const pdf = "%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/** A website on loopback with the pages of this directory, files, an API, and answers that never come or never end. */
export function startSite(): Site {
  const requests: string[] = [];
  const breaking = startBroken();
  let polls = 0;
  const answers: Record<string, (request: Request) => Response | Promise<Response>> = {
    "/second.html": () => page("Second", "<h1>Second</h1>"),
    "/busy.html": () => page("Busy", "<script>setTimeout(() => { for (;;) {} }, 100)</script><p>Busy</p>"),
    "/report.csv": () => file(report, "report.csv"),
    "/report.pdf": () => new Response(pdf, { headers: { "content-type": "application/pdf" } }),
    "/endless.bin": () => file(endless(), "endless.bin"),
    "/broken.bin": () => Response.redirect(`http://127.0.0.1:${breaking.port}/broken.bin`),
    "/missing.pdf": () => new Response("no", { status: 404 }),
    "/never": () => new Promise<Response>(() => undefined),
    "/api/items": async (request) => Response.json({ items: [1, 2], sent: await request.text() }),
    "/api/poll": () => {
      polls += 1;
      return Response.json({ status: polls < 3 ? "waiting" : "completed", polls });
    },
    "/api/echo": async (request) =>
      Response.json(
        { method: request.method, url: request.url, kind: request.headers.get("x-kind"), body: await request.text() },
        { status: 201 },
      ),
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      requests.push(`${request.method} ${pathname}`);
      const answer = answers[pathname];
      if (answer !== undefined) return await answer(request);
      const asset = Bun.file(join(import.meta.dir, pathname));
      return (await asset.exists()) ? new Response(asset) : new Response("Not found", { status: 404 });
    },
  });
  return {
    url: (path) => new URL(path, server.url).href,
    requests,
    [Symbol.asyncDispose]: async () => {
      breaking.stop(true);
      await server.stop(true);
    },
  };
}

function page(title: string, body: string): Response {
  return new Response(`<!doctype html><title>${title}</title>${body}`, { headers: { "content-type": "text/html" } });
}

function file(body: string | ReadableStream, name: string): Response {
  const headers = {
    "content-type": "application/octet-stream",
    "content-disposition": `attachment; filename="${name}"`,
  };
  return new Response(body, { headers });
}

/** A mebibyte every few milliseconds, until the reader leaves. */
function endless(): ReadableStream {
  const chunk = new Uint8Array(1_048_576);
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(5);
      controller.enqueue(chunk);
    },
  });
}

/** A server that promises more than it sends. */
function startBroken(): Bun.TCPSocketListener<undefined> {
  const head = [
    "HTTP/1.1 200 OK",
    "Content-Type: application/octet-stream",
    'Content-Disposition: attachment; filename="broken.bin"',
    "Content-Length: 1000000",
  ];
  return Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(`${head.join("\r\n")}\r\n\r\n${"x".repeat(60_000)}`);
        socket.end();
      },
    },
  });
}
