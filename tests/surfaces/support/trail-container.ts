type Data = { mark?: string; trail?: string[] };

/**
 * One service that is many containers, `/<id>/service_output`: each adds its id to the trail in the data, and its calls are kept as `mark:id`.
 * Those that are told to hold answer when they are let go.
 */
export type TrailContainer = {
  url(id: string): string;
  calls: string[];
  /** Calls whose caller hung up before the answer. */
  abandoned: string[];
  count(mark: string, id: string): number;
  hold(id: string): void;
  letGo(id: string): void;
  close(): Promise<void>;
};

export function trailContainer(): TrailContainer {
  const calls: string[] = [];
  const abandoned: string[] = [];
  const holds = new Map<string, PromiseWithResolvers<void>>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const id = new URL(request.url).pathname.split("/")[1] ?? "";
      const { data } = (await request.json()) as { data: Data };
      const call = `${data.mark}:${id}`;
      calls.push(call);
      request.signal.addEventListener("abort", () => abandoned.push(call));
      await holds.get(id)?.promise;
      return Response.json({ ...data, trail: [...(data.trail ?? []), id] });
    },
  });
  const letGo = (id: string) => {
    holds.get(id)?.resolve();
    holds.delete(id);
  };
  return {
    url: (id) => `http://127.0.0.1:${server.port}/${id}`,
    calls,
    abandoned,
    count: (mark, id) => calls.filter((call) => call === `${mark}:${id}`).length,
    hold: (id) => void holds.set(id, Promise.withResolvers<void>()),
    letGo,
    async close() {
      for (const id of [...holds.keys()]) letGo(id);
      await server.stop(true);
    },
  };
}
