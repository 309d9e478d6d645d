import { readFileSync } from "node:fs";
import { join } from "node:path";
import { whenFileEnds } from "../ending.ts";

type Index = { manifests: { digest: string; mediaType: string }[] };

/** A registry (OCI distribution, the part that a pull needs) over an OCI layout on disk that may come later. Has one image, `team/model:1`. */
export function registryOver(layout: string): { host: string } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2/") return new Response();
      if (pathname === "/v2/team/model/manifests/1") return manifest(layout);
      const digest = /^\/v2\/team\/model\/(?:blobs|manifests)\/sha256:([0-9a-f]{64})$/.exec(pathname)?.[1];
      if (digest === undefined) return Response.json({ errors: [{ code: "MANIFEST_UNKNOWN" }] }, { status: 404 });
      return new Response(Bun.file(join(layout, "blobs", "sha256", digest)));
    },
  });
  whenFileEnds(() => server.stop(true));
  return { host: `127.0.0.1:${server.port}` };
}

function manifest(layout: string): Response {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as Index;
  const [first] = index.manifests;
  if (first === undefined) throw new Error("the layout holds no image");
  const bytes = readFileSync(join(layout, "blobs", "sha256", first.digest.slice("sha256:".length)));
  return new Response(bytes, { headers: { "content-type": first.mediaType, "docker-content-digest": first.digest } });
}
