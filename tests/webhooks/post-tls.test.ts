import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseNetworks } from "../../src/webhooks/networks.ts";
import { post } from "../../src/webhooks/post.ts";

const hasOpenssl = Bun.which("openssl") !== null;
const allow = parseNetworks(["127.0.0.0/8", "::1"]);
const folder = mkdtempSync(join(tmpdir(), "fairlead-tls-"));
const servers: { stop(force: boolean): unknown }[] = [];
let ca = "";

beforeAll(() => {
  if (!hasOpenssl) return;
  openssl(
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority",
  );
  ca = read("ca.pem");
  makeCertificate("good", "DNS:hooks.test");
  makeCertificate("other", "DNS:other.test");
  makeCertificate("expired", "DNS:hooks.test", "-1");
  makeCertificate("address", "IP:127.0.0.1");
  openssl(
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.pem -days 30 -subj /CN=hooks.test -addext subjectAltName=DNS:hooks.test",
  );
});
afterAll(async () => {
  for (const server of servers) await server.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

const cases: [string, string, string, { status?: number; reason?: string }][] = [
  ["for the URL's name", "good", "hooks.test", { status: 200 }],
  ["for the URL's name in capitals, with the root's dot", "good", "HOOKS.test.", { status: 200 }],
  ["for another name", "other", "hooks.test", { reason: "the certificate is for another name" }],
  ["that has expired", "expired", "hooks.test", { reason: "the certificate has expired" }],
  ["signed by itself", "self", "hooks.test", { reason: "the certificate is self-signed" }],
  ["for the URL's address", "address", "127.0.0.1", { status: 200 }],
  ["for a name when the URL has an address", "good", "127.0.0.1", { reason: "the certificate is for another name" }],
  [
    "for an address when the URL has a name",
    "address",
    "hooks.test",
    { reason: "the certificate is for another name" },
  ],
];
test.skipIf(!hasOpenssl).each(cases)("a certificate %s", async (_, certificate, host, expected) => {
  const { port, requests } = serve(certificate);
  const outcome = await call(`https://${host}:${port}/`, ca);
  expect(outcome).toMatchObject(expected);
  expect(requests).toHaveLength(expected.status === undefined ? 0 : 1);
});

test.skipIf(!hasOpenssl)("a certificate of an authority that is not trusted", async () => {
  const { port, requests } = serve("good");
  const outcome = await call(`https://hooks.test:${port}/`);
  expect(outcome).toMatchObject({ kind: "failed", reason: "the certificate's authority is not trusted" });
  expect(requests).toHaveLength(0);
});

test.skipIf(!hasOpenssl)("NODE_TLS_REJECT_UNAUTHORIZED in the environment changes nothing", async () => {
  const { port, requests } = serve("self");
  const source = new URL("./support/post-once.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, source, `https://127.0.0.1:${port}/`, "{}"], {
    env: { PATH: process.env.PATH ?? "", NODE_TLS_REJECT_UNAUTHORIZED: "0" },
    stdout: "pipe",
    stderr: "ignore",
  });
  expect(JSON.parse(await child.stdout.text())).toMatchObject({ outcome: { kind: "failed" }, viaFetch: true });
  expect(requests).toHaveLength(1);
});

test("a receiver that speaks plain HTTP on an https URL", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("plain") });
  servers.push(server);
  const outcome = await call(`https://hooks.test:${server.port}/`);
  expect(outcome).toMatchObject({ kind: "failed", reason: "the TLS handshake failed" });
});

function call(url: string, trustedCa?: string) {
  const resolve = async () => ["127.0.0.1"];
  return post({
    url,
    headers: {},
    body: "{}",
    timeoutMs: 3_000,
    allow,
    resolve,
    ...(trustedCa === undefined ? {} : { trustedCa }),
  });
}

function serve(certificate: string) {
  const requests: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: read(`${certificate}.pem`), key: read(`${certificate}.key`) },
    fetch: (request) => {
      requests.push(request.url);
      return new Response("ok");
    },
  });
  servers.push(server);
  return { port: server.port, requests };
}

function makeCertificate(name: string, alternative: string, days = "10"): void {
  writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${alternative}`);
  openssl(
    `req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${name}.key -out ${name}.csr -subj /CN=receiver`,
  );
  openssl(
    `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out ${name}.pem -days ${days} -extfile ${name}.ext`,
  );
}

function openssl(command: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...command.split(" ")], { cwd: folder, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${command}: ${stderr.toString()}`);
}

function read(name: string): string {
  return readFileSync(join(folder, name), "utf8");
}
