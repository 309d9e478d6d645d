import { afterAll, describe, expect, test } from "bun:test";
import { EngineError } from "../../src/errors.ts";
import { parseAddress } from "../../src/webhooks/address.ts";
import { parseNetworks } from "../../src/webhooks/networks.ts";
import { post } from "../../src/webhooks/post.ts";
import { checkTarget } from "../../src/webhooks/target.ts";
import { startRawReceiver } from "./support/receiver.ts";

const nothing = parseNetworks([]);
/** Stands for everything on this machine that a webhook must not reach; on both loopback addresses, where there are two. */
const victim = startRawReceiver((socket) => {
  socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
});
afterAll(() => victim.close());
const { port } = victim;

const syntax = [
  "",
  "   ",
  "localhost",
  `127.0.0.1:${port}`,
  `//127.0.0.1:${port}/`,
  `http:127.0.0.1:${port}/`,
  `http:/127.0.0.1:${port}/`,
  `http:///127.0.0.1:${port}/`,
  `http:\\\\127.0.0.1:${port}\\`,
  `http://example.com\\@127.0.0.1:${port}/`,
  `http://user@127.0.0.1:${port}/`,
  "https://user:pass@example.com/",
  "https://@example.com/",
  "https://:@example.com/",
  ` http://example.com/`,
  "http://exam\nple.com/",
  "http://exam\tple.com/",
  "http://example.com/a b",
  "http://example.com/\0",
  "http://exa%6dple%00.com/",
  "http://[::1/",
  "http://example.com:99999/",
  `https://example.com/${"a".repeat(2_048)}`,
  `https://example.com/${"é".repeat(1_020)}`,
  "file:///etc/passwd",
  "data:text/plain,hello",
  "s3://bucket/key",
  "unix:///var/run/docker.sock",
  "ftp://example.com/",
  "gopher://127.0.0.1:6379/_INFO",
  "javascript:alert(1)",
  "ws://example.com/",
  "blob:https://example.com/1",
  "about:blank",
  "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
  `localhost:${port}`,
  `http://localhost:${port}/`,
  `http://LOCALHOST:${port}/`,
  `http://localhost.:${port}/`,
  `http://a.localhost:${port}/`,
];

const ipv4Forms = [
  "127.0.0.1",
  "127.0.0.1.",
  "127.1",
  "127.0.1",
  "2130706433",
  "0x7f000001",
  "0x7f.0.0.1",
  "0x7f.1",
  "017700000001",
  "0177.0.0.1",
  "0177.0.0.01",
  "127.255.255.254",
  "0",
  "0.0.0.0",
  "00000",
  "0x0",
  "１２７.０.０.１",
  "127。0。0。1",
  "127．0．0．1",
  "①②⑦.⓪.⓪.①",
  "%31%32%37.0.0.1",
  "10.0.0.1",
  "10.255.255.255",
  "100.64.0.1",
  "100.100.100.200",
  "100.127.255.255",
  "168.63.129.16",
  "169.254.169.254",
  "169.254.170.2",
  "2852039166",
  "0xa9fea9fe",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.1",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.0.1",
  "198.18.0.1",
  "198.19.255.255",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
];

const ipv6Forms = [
  "::",
  "::1",
  "0:0:0:0:0:0:0:1",
  "0000:0000:0000:0000:0000:0000:0000:0001",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "0:0:0:0:0:ffff:7f00:0001",
  "::FFFF:7F00:1",
  "::ffff:10.0.0.1",
  "::ffff:169.254.169.254",
  "::ffff:a9fe:a9fe",
  "::127.0.0.1",
  "::7f00:1",
  "::ffff:0:127.0.0.1",
  "64:ff9b::127.0.0.1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b:1::1",
  "2002:7f00:1::",
  "2002:a9fe:a9fe::1",
  "2001::1",
  "2001:0:7f00:1::",
  "2001:10::1",
  "2001:db8::1",
  "3fff::1",
  "100::1",
  "5f00::1",
  "fe80::1",
  "febf::1",
  "fec0::1",
  "fc00::1",
  "fd00:ec2::254",
  "ff02::1",
  "4000::1",
  "e000::1",
];
const ipv6Malformed = ["fe80::1%25eth0", "fe80::1%eth0", "::1%25lo", "::ffff:127.0.0.1.", "1::2::3", "12345::"];

const ports = [
  1, 21, 22, 25, 53, 81, 465, 587, 993, 1023, 2049, 3306, 5432, 6000, 6379, 6667, 9200, 10080, 11211, 27017,
];

const refused = [
  ...syntax,
  ...ipv4Forms.flatMap((host) => [`http://${host}:${port}/`, `https://${host}/`]),
  ...ipv6Forms.map((host) => `http://[${host}]:${port}/`),
  ...ipv6Malformed.map((host) => `http://[${host}]:${port}/`),
  ...ports.map((number) => `http://8.8.8.8:${number}/`),
];

describe("a URL that webhooks must not call", () => {
  test.each(refused)("is refused when submitted, with a pointer: %j", (url) => {
    const refusal = refusalOf(url);
    expect(refusal.code).toBe("invalid");
    expect(refusal.options.problems).toEqual([{ pointer: "/webhook/url", detail: expect.any(String) }]);
  });

  test("is refused when called, without a connection", async () => {
    const outcomes = await Promise.all(
      refused.map((url) => post({ url, headers: {}, body: "{}", timeoutMs: 2_000, allow: nothing })),
    );
    expect(refused.filter((_, index) => outcomes[index]?.kind !== "refused")).toEqual([]);
    expect(victim.connections).toBe(0);
  });

  test("would have reached the victim had it been allowed", async () => {
    const url = `http://2130706433:${port}/`;
    const outcome = await post({
      url,
      headers: {},
      body: "{}",
      timeoutMs: 2_000,
      allow: parseNetworks(["127.0.0.0/8"]),
    });
    expect(outcome.kind).toBe("answered");
    expect(victim.connections).toBe(1);
  });
});

describe("a URL that webhooks may call", () => {
  test.each([
    "https://example.com",
    "https://example.com/hook?a=b&c=%20#d",
    "HTTPS://EXAMPLE.COM/",
    "https://bücher.example/",
    "https://example.com:8443/",
    "http://example.com:3000/",
    "http://8.8.8.8/",
    "https://1.1.1.1:443/",
    "https://172.32.0.1/",
    "https://[2606:4700:4700::1111]/",
    "https://[2a00:1450::1]:8443/",
    "http://[::ffff:8.8.8.8]/",
    "https://example.com/@user",
    "https://example.com/?next=http://127.0.0.1/",
    "https://notlocalhost/",
  ])("passes: %j", (url) => {
    expect(checkTarget(url, { allow: nothing, pointer: "/webhook/url" })).toBeInstanceOf(URL);
  });
});

describe("WEBHOOK_ALLOW", () => {
  const allowed: [string, string][] = [
    ["10.0.0.0/8", "http://10.1.2.3:22/"],
    ["10.0.0.5/8", "http://10.1.2.3/"],
    ["127.0.0.1", "http://127.0.0.1:6379/"],
    ["127.0.0.0/8", "http://localhost:9/"],
    ["::1/128", "http://localhost:9/"],
    ["::1/128", "http://[::1]:9/"],
    ["fd00::/8", "http://[fd12::1]/"],
    ["192.168.1.0/24,10.0.0.0/8", "http://10.0.0.1/"],
    ["10.0.0.0/8", "http://[::ffff:10.0.0.1]/"],
    ["8.8.8.8", "http://8.8.8.8:22/"],
    ["*", "http://169.254.169.254/latest/"],
    ["*", "http://[::1]:1/"],
    ["0.0.0.0/0", "http://127.0.0.1/"],
  ];
  test.each(allowed)("%s lets %s through", (networks, url) => {
    expect(checkTarget(url, { allow: parseNetworks(networks.split(",")), pointer: "/u" })).toBeInstanceOf(URL);
  });

  const stillRefused: [string, string][] = [
    ["10.0.0.0/8", "http://11.0.0.1:22/"],
    ["10.0.0.0/8", "http://127.0.0.1/"],
    ["10.0.0.0/8", "http://localhost/"],
    ["10.0.0.0/32", "http://10.0.0.1/"],
    ["0.0.0.0/0", "http://[::1]/"],
    ["::/0", "http://127.0.0.1/"],
    ["*", "file:///etc/passwd"],
    ["*", "http://user@10.0.0.1/"],
  ];
  test.each(stillRefused)("%s does not let %s through", (networks, url) => {
    expect(() => checkTarget(url, { allow: parseNetworks(networks.split(",")), pointer: "/u" })).toThrow(EngineError);
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0/8",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "10.0.0.0/a",
    "999.0.0.1",
    "::/129",
    "fe80::1%eth0",
    "example.com",
    "",
    "127.1",
    "0x7f.0.0.1",
  ])("an entry that is no network is named: %j", (entry) => {
    expect(() => parseNetworks(["10.0.0.0/8", entry])).toThrow(`"${entry}"`);
  });
});

test("addresses are read in one way only", () => {
  const texts = ["127.1", "0x7f000001", "010.0.0.1", "1.2.3.4.5", "[::1]", "::1%lo", "", "a", "1.2.3", "256.1.1.1"];
  expect(texts.filter((text) => parseAddress(text) !== null)).toEqual([]);
  expect(parseAddress("::ffff:1.2.3.4")?.toString()).toBe("1.2.3.4");
});

function refusalOf(url: string): EngineError {
  try {
    checkTarget(url, { allow: nothing, pointer: "/webhook/url" });
  } catch (fault) {
    if (fault instanceof EngineError) return fault;
    throw fault;
  }
  throw new Error(`${url} was let through`);
}
