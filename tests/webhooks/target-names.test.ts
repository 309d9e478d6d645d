import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { parseNetworks } from "../../src/webhooks/networks.ts";
import { post } from "../../src/webhooks/post.ts";
import { type DnsAnswer, type DnsServer, startDnsServer } from "./support/dns-server.ts";
import { type RawReceiver, startReceiver, startRawReceiver } from "./support/receiver.ts";

/** 127.0.0.2 stands for the public Internet, where the receiver is; 127.0.0.1 for what must not be reached. Linux has both. */
const isLinux = process.platform === "linux";
const allow = parseNetworks(["127.0.0.2"]);
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const loopbackV6 = "0:0:0:0:0:0:0:1";

let receiver: RawReceiver;
let victim: RawReceiver;
let names: DnsServer | undefined;

beforeAll(() => {
  if (!isLinux) return;
  victim = startReceiver(200);
  receiver = startRawReceiver((socket) => void socket.end(ok), "127.0.0.2", victim.port);
});
afterAll(() => {
  victim?.close();
  receiver?.close();
});
afterEach(() => {
  names?.close();
  names = undefined;
});

const call = (host: string, timeoutMs = 3_000) =>
  post({ url: `http://${host}:${victim.port}/hook`, headers: {}, body: "{}", timeoutMs, allow });

test.skipIf(!isLinux)(
  "a name that rebinds after the check reaches only the checked address, a hundred times",
  async () => {
    let lookups = 0;
    names = await startDnsServer((_, type) => {
      if (type === "AAAA") return { addresses: [] };
      lookups += 1;
      return { addresses: [lookups % 2 === 1 ? "127.0.0.2" : "127.0.0.1"] };
    });
    const before = receiver.connections;
    const kinds: string[] = [];
    for (let round = 0; round < 100; round++) kinds.push((await call(`rebind-${round % 7}.test`)).kind);
    expect(kinds).toEqual(Array.from({ length: 100 }, (_, round) => (round % 2 === 0 ? "answered" : "refused")));
    expect(lookups).toBe(100);
    expect(receiver.connections - before).toBe(50);
    expect(victim.connections).toBe(0);
  },
);

test.skipIf(!isLinux)(
  "a name that rebinds at every question, a hundred calls at once, never leads to the victim",
  async () => {
    names = await startDnsServer((_, type) => {
      if (type === "AAAA") return { addresses: [] };
      return { addresses: [Math.random() < 0.5 ? "127.0.0.2" : "127.0.0.1"] };
    });
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, index) => call(`many-${index}.test`)));
    expect(outcomes.every((outcome) => outcome.kind === "answered" || outcome.kind === "refused")).toBe(true);
    expect(victim.connections).toBe(0);
  },
);

const fit = "127.0.0.2";
const answers: [string, (type: "A" | "AAAA") => DnsAnswer, "answered" | "refused" | "failed"][] = [
  ["one fit address", (type) => ({ addresses: type === "A" ? [fit] : [] }), "answered"],
  [
    "a fit address behind an alias",
    (type) => ({ cname: "real.test", addresses: type === "A" ? [fit] : [] }),
    "answered",
  ],
  ["a fit A and no answer to AAAA", (type) => (type === "A" ? { addresses: [fit] } : "nxdomain"), "answered"],
  ["a fit A and an AAAA of loopback", (type) => ({ addresses: [type === "A" ? fit : loopbackV6] }), "refused"],
  ["a fit A and a mapped AAAA", (type) => ({ addresses: [type === "A" ? fit : "0:0:0:0:0:ffff:7f00:1"] }), "refused"],
  ["a fit and an unfit A", (type) => ({ addresses: type === "A" ? [fit, "127.0.0.1"] : [] }), "refused"],
  [
    "an alias of something internal",
    (type) => ({ cname: "metadata.internal", addresses: type === "A" ? ["169.254.169.254"] : [] }),
    "refused",
  ],
  ["only an unfit AAAA", (type) => ({ addresses: type === "A" ? [] : [loopbackV6] }), "refused"],
  ["0.0.0.0", (type) => ({ addresses: type === "A" ? ["0.0.0.0"] : [] }), "refused"],
  [
    "4,000 addresses",
    (type) => ({ addresses: type === "A" ? Array.from({ length: 4_000 }, () => fit) : [] }),
    "refused",
  ],
  ["no address", () => ({ addresses: [] }), "failed"],
  ["no such name", () => "nxdomain", "failed"],
  ["a failing name server", () => "servfail", "failed"],
];
test.skipIf(!isLinux).each(answers)("a name with %s", async (_, answer, kind) => {
  names = await startDnsServer((_name, type) => answer(type));
  const outcome = await call("hooks.test");
  expect(outcome).toMatchObject({ kind });
  expect(victim.connections).toBe(0);
  if (outcome.kind === "refused") expect(outcome.reason).not.toMatch(/\d+\.\d+\.\d+\.\d+|::/);
});

test.skipIf(!isLinux)("a name server that never answers costs the attempt's time and no more", async () => {
  names = await startDnsServer(() => "silent");
  const outcome = await call("silent.test", 300);
  expect(outcome).toEqual({ kind: "failed", reason: "no whole answer within 300 ms", durationMs: expect.any(Number) });
  if (outcome.kind === "failed") expect(outcome.durationMs).toBeLessThan(1_500);
});

const resolved: [string, string[], string][] = [
  ["10,000 addresses", Array.from({ length: 10_000 }, () => fit), "refused"],
  ["65 addresses", Array.from({ length: 65 }, () => fit), "refused"],
  ["64 addresses", Array.from({ length: 64 }, () => fit), "answered"],
  ["an address with a zone", ["fe80::1%lo"], "refused"],
  ["a text that is no address", ["localhost"], "refused"],
  ["none", [], "failed"],
];
test.skipIf(!isLinux).each(resolved)("a resolver's answer of %s", async (_, addresses, kind) => {
  const url = `http://hooks.test:${victim.port}/`;
  const outcome = await post({ url, headers: {}, body: "", timeoutMs: 3_000, allow, resolve: async () => addresses });
  expect(outcome.kind).toBe(kind as typeof outcome.kind);
  expect(victim.connections).toBe(0);
});

test.skipIf(!isLinux)("the next address is tried when the first one refuses, and the body is sent once", async () => {
  const before = receiver.requests.length;
  const outcome = await post({
    url: `http://hooks.test:${victim.port}/`,
    headers: {},
    body: "{}",
    timeoutMs: 3_000,
    allow: parseNetworks(["127.0.0.2", "127.0.0.3"]),
    resolve: async () => ["127.0.0.3", "127.0.0.2"],
  });
  expect(outcome.kind).toBe("answered");
  expect(receiver.requests.length - before).toBe(1);
});

test.skipIf(!isLinux)("no other address is tried once something was sent", async () => {
  const broken = startRawReceiver((socket) => socket.terminate(), "127.0.0.3", victim.port);
  const before = receiver.connections;
  const outcome = await post({
    url: `http://hooks.test:${victim.port}/`,
    headers: {},
    body: "{}",
    timeoutMs: 3_000,
    allow: parseNetworks(["127.0.0.2", "127.0.0.3"]),
    resolve: async () => ["127.0.0.3", "127.0.0.2"],
  });
  broken.close();
  expect(outcome.kind).toBe("failed");
  expect([broken.requests.length, receiver.connections - before]).toEqual([1, 0]);
});
