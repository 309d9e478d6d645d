import { rmSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./runner-of.ts";

type Service = (request: Request) => Response | Promise<Response>;
type Made = {
  name: string;
  body: Record<string, unknown>;
  server: Bun.Server<unknown> | null;
  exitCode: number;
  ended: PromiseWithResolvers<void>;
};

/** What an engine of the tests does; each may be replaced while it runs. */
export type Behaviour = {
  images: Set<string>;
  /** Lines of `POST /images/create`, or a status with a message. */
  pull: (image: string) => { lines: AsyncIterable<string> } | { status: number; message: string };
  /** What runs in a container; null exits at once. */
  service: Service | null;
  log: string;
  /** Whether `wait` ends with the container. */
  tellsEnd: boolean;
  /** Answers every request from now on, when set. */
  instead: ((request: Request) => Response | Promise<Response>) | null;
};

export type FakeEngine = {
  dockerHost: string;
  behaviour: Behaviour;
  made: Map<string, Made>;
  /** How many containers were ever created. */
  created(): number;
  running(): string[];
  exit(id: string, code: number): void;
  /** The socket is gone, and with it whoever waits; containers stay. */
  die(): void;
  close(): void;
};

/** The part of the Docker Engine API that image containers use, over a socket, for what a real engine will not do when asked. */
export function fakeEngine(given: Partial<Behaviour> = {}): FakeEngine {
  const path = join(temporaryDirectory(), "engine.sock");
  const made = new Map<string, Made>();
  const behaviour: Behaviour = {
    images: new Set(["team/model:1"]),
    pull: () => ({ status: 404, message: "no such image" }),
    service: async (request) =>
      request.method === "GET" ? new Response() : Response.json({ got: await dataOf(request) }),
    log: "",
    tellsEnd: true,
    instead: null,
    ...given,
  };
  let created = 0;
  const exit = (id: string, code: number) => {
    const container = made.get(id);
    if (container === undefined) return;
    container.exitCode = code;
    void container.server?.stop(true);
    container.server = null;
    container.ended.resolve();
  };
  const create = (name: string, body: Record<string, unknown>) => {
    const id = `c${++created}`;
    made.set(id, { name, body, server: null, exitCode: 0, ended: Promise.withResolvers<void>() });
    return Response.json({ Id: id }, { status: 201 });
  };
  const handle = async (request: Request): Promise<Response> => {
    if (behaviour.instead !== null) return behaviour.instead(request);
    const url = new URL(request.url);
    if (url.pathname.endsWith("/wait")) server.timeout(request, 0);
    const [, room, name = "", act = ""] = url.pathname.split("/").map(decodeURIComponent);
    if (room === "images") return images(behaviour, url);
    if (name === "json") return Response.json(labelled(made, url));
    if (name === "create") return create(url.searchParams.get("name") ?? "", (await request.json()) as Made["body"]);
    const container = made.get(name);
    if (container === undefined) return Response.json({ message: "no such container" }, { status: 404 });
    return await actOn({
      container,
      behaviour,
      act,
      method: request.method,
      exit: (code) => exit(name, code),
      remove: () => made.delete(name),
    });
  };
  const server = Bun.serve({ unix: path, fetch: handle });
  return {
    ...{ dockerHost: `unix://${path}`, behaviour, made, exit },
    created: () => created,
    running: () => [...made].filter(([, { server: own }]) => own !== null).map(([id]) => id),
    die: () => {
      void server.stop(true);
      rmSync(path, { force: true });
    },
    close: () => {
      for (const id of made.keys()) exit(id, 0);
      void server.stop(true);
    },
  };
}

async function dataOf(request: Request): Promise<unknown> {
  const { data } = (await request.json()) as { data: unknown };
  return data;
}

function images(behaviour: Behaviour, url: URL): Response {
  if (!url.pathname.endsWith("/create")) {
    const image = url.pathname.slice("/images/".length, -"/json".length);
    return behaviour.images.has(image)
      ? Response.json({ Id: image })
      : Response.json({ message: "none" }, { status: 404 });
  }
  const image = url.searchParams.get("fromImage") ?? "";
  const pulled = behaviour.pull(image);
  if ("status" in pulled) return Response.json({ message: pulled.message }, { status: pulled.status });
  return new Response(pulled.lines);
}

function labelled(made: Map<string, Made>, url: URL): { Id: string }[] {
  const { label } = JSON.parse(url.searchParams.get("filters") ?? "{}") as { label: string[] };
  const [name = "", value = ""] = (label[0] ?? "").split("=");
  return [...made].flatMap(([Id, { body }]) =>
    (body.Labels as Record<string, string>)[name] === value ? [{ Id }] : [],
  );
}

type Acting = {
  container: Made;
  behaviour: Behaviour;
  act: string;
  method: string;
  exit: (code: number) => void;
  remove: () => void;
};

async function actOn({ container, behaviour, act, method, exit, remove }: Acting): Promise<Response> {
  if (method === "DELETE") {
    exit(137);
    remove();
    return new Response(null, { status: 204 });
  }
  if (act === "start") {
    if (behaviour.service === null) exit(7);
    else container.server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: behaviour.service });
    return new Response(null, { status: 204 });
  }
  if (act === "stop") exit(0);
  if (act === "wait") {
    await (behaviour.tellsEnd ? container.ended.promise : new Promise(() => undefined));
    return Response.json({ StatusCode: container.exitCode });
  }
  if (act === "logs") return new Response(frames(behaviour.log));
  return act === "json" ? Response.json(inspected(container)) : new Response(null, { status: 204 });
}

function inspected({ server, exitCode, body }: Made) {
  const ports = Object.keys(body.ExposedPorts as object).map((port) => [
    port,
    server && [{ HostPort: String(server.port) }],
  ]);
  return {
    State: { Running: server !== null, ExitCode: exitCode, OOMKilled: exitCode === 137 },
    NetworkSettings: { Ports: Object.fromEntries(ports) },
  };
}

function frames(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const header = new Uint8Array(8);
  header[0] = 2;
  new DataView(header.buffer).setUint32(4, bytes.length);
  return Buffer.concat([header, bytes]);
}
