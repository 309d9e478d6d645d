import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../src/errors.ts";
import { createLocalStore } from "../../src/files/local-store.ts";
import { receiveMultipart } from "../../src/files/multipart.ts";

/** A small server over the file store, run as a program of its own so that its memory is its own: `bun file-server.ts <dir>`. */
const dataDir = process.argv[2] ?? "";
const store = createLocalStore({ dataDir });
const limits = { bytesMax: 3_000_000_000, filesMax: 10_000, fieldBytesMax: 1_000_000, fieldsMax: 10 };
let nextId = 1;

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  idleTimeout: 60,
  async fetch(request) {
    const url = new URL(request.url);
    const [, verb, id] = url.pathname.split("/");
    const filesMax = Number(url.searchParams.get("files") ?? limits.filesMax);
    try {
      if (verb === "upload") return Response.json(await take(request, filesMax));
      if (verb === "zip") return new Response(await store.zip(Number(id)));
      return Response.json(facts());
    } catch (fault) {
      if (!(fault instanceof EngineError)) throw fault;
      return Response.json({ error: fault.message }, { status: fault.code === "too_large" ? 413 : 400 });
    }
  },
});
console.log(server.port);

async function take(request: Request, filesMax: number) {
  const staging = await store.stage();
  const received = await receiveMultipart(request, staging, { ...limits, filesMax });
  const id = nextId;
  nextId += 1;
  await store.commit(staging, id, received.files);
  return { id, files: received.files.length, bytes: received.bytes, sha256: received.files[0]?.sha256 };
}

function facts() {
  const open = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor that listed the directory is gone by now.
      return [];
    }
  });
  const staged = readdirSync(dataDir).includes("staging") ? readdirSync(join(dataDir, "staging")) : [];
  return {
    rssMb: Math.round(process.memoryUsage.rss() / 1_048_576),
    descriptors: open.filter((target) => target.startsWith(dataDir)),
    staged,
  };
}
