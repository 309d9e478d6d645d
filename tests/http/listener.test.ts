import { describe, expect, test } from "bun:test";
import { ListenError } from "../../src/http/listen-fault.ts";
import { requireFreePort } from "../../src/http/require-free-port.ts";
import { openRoom, wordySurface } from "./room.ts";

describe("a listener", () => {
  test("says in one line that its port is taken, and what to do", async () => {
    await using room = await openRoom();
    const fault: unknown = await openRoom({ config: { port: room.port } }).catch((caught: unknown) => caught);
    expect(fault).toBeInstanceOf(ListenError);
    expect(String(fault)).toBe(
      `ListenError: Port ${room.port} on 127.0.0.1 is taken: stop what uses it, or choose another with PORT=… (PORT=0 takes a free one)`,
    );
  });

  test.each(["192.0.2.1", "-"])("says that its address %s is not here", async (host) => {
    const opened = openRoom({ config: { host }, settings: { host } });
    await expect(opened).rejects.toThrow(`${host} is not an address of this machine: set HOST to one`);
  });

  test("names the setting of the door that cannot be opened", () => {
    const open = () => requireFreePort("192.0.2.1", 8_081, "INTERNAL_PORT");
    expect(open).toThrow("192.0.2.1 is not an address of this machine: set INTERNAL_HOST to one");
  });

  test("listens on IPv6", async () => {
    await using room = await openRoom({ config: { host: "::1" }, settings: { trustedNetworks: ["::1"] } });
    expect(room.url).toBe(`http://[::1]:${room.port}`);
    const response = await fetch(`${room.url}/demo/trusted`);
    expect(await response.json()).toEqual({ ran: "trusted", client: "ip:::1" });
  });

  test("that stops finishes what is under way and takes nothing new", async () => {
    const room = await openRoom({
      surfaces: ({ gate, ran }) => [
        wordySurface("slow", gate, (app) =>
          app.get(
            "/slow/a",
            async () => {
              ran.push("began");
              await Bun.sleep(300);
              return { done: true };
            },
            { auth: "open" },
          ),
        ),
      ],
    });
    const asked = fetch(`${room.url}/slow/a`).then((response) => response.json());
    while (!room.ran.includes("began")) await Bun.sleep(5);
    const stopped = room.server.stop();
    await expect(fetch(`${room.url}/demo/open`, { headers: { connection: "close" } })).rejects.toThrow();
    expect(await asked).toEqual({ done: true });
    expect(await stopped).toEqual({ brokenOff: 0 });
    expect(await room.server.stop()).toEqual({ brokenOff: 0 });
  });

  test("that stops breaks off what takes too long", async () => {
    const room = await openRoom({
      surfaces: ({ gate, ran }) => [
        wordySurface("stuck", gate, (app) =>
          app.get(
            "/stuck/a",
            async () => {
              ran.push("began");
              await Bun.sleep(30_000);
              return {};
            },
            { auth: "open" },
          ),
        ),
      ],
    });
    const asked = fetch(`${room.url}/stuck/a`).then(
      () => "answered",
      () => "broken off",
    );
    while (!room.ran.includes("began")) await Bun.sleep(5);
    expect(await room.server.stop(100)).toEqual({ brokenOff: 1 });
    expect(await asked).toBe("broken off");
  });
});
