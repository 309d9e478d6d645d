import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sendRaw } from "../http/raw.ts";
import { type Service, startService } from "../support/service.ts";

const secret = "TOPSECRET-4711";
let service: Service;
let port: number;

beforeAll(async () => {
  service = await startService({ SANDBOX: "none" });
  port = Number(new URL(service.url).port);
  await writeFile(join(service.rooms.config.dataDir, "secret.txt"), secret);
  await writeFile(join(service.rooms.config.dataDir, "payloads", "secret.txt"), secret).catch(() => undefined);
  await service.post("/api/v1/jobs", { id: "victim", script: "echo hello > out.txt" }, { prefer: "wait=15" });
}, 60_000);
afterAll(() => service.stop());

/** Spellings of a way out of a directory, as they stand in a request line. */
const encodings = [
  "../secret.txt",
  "..%2fsecret.txt",
  "..%2Fsecret.txt",
  "%2e%2e/secret.txt",
  "%2e%2e%2fsecret.txt",
  "%2E%2E%2Fsecret.txt",
  ".%2e/secret.txt",
  "%2e./secret.txt",
  "..%5csecret.txt",
  "..\\secret.txt",
  "%252e%252e%252fsecret.txt",
  "..%252fsecret.txt",
  "%c0%ae%c0%ae/secret.txt",
  "%c0%ae%c0%ae%c0%afsecret.txt",
  "..%c0%afsecret.txt",
  "%e0%80%ae%e0%80%ae/secret.txt",
  "%u002e%u002e/secret.txt",
  "..%00/secret.txt",
  "..%00secret.txt",
  "%00../secret.txt",
  "....//secret.txt",
  "..././secret.txt",
  "./../secret.txt",
  ".//../secret.txt",
  "..;/secret.txt",
  "..%3b/secret.txt",
  "..%0d%0a/secret.txt",
  "..%09/secret.txt",
  "..%20/secret.txt",
  "%2e%2e%5csecret.txt",
  "..%u2215secret.txt",
  "..%ef%bc%8fsecret.txt",
  "%ef%bc%8e%ef%bc%8e/secret.txt",
  "/etc/passwd",
  "%2fetc%2fpasswd",
  "//etc/passwd",
  "../../../../../../etc/passwd",
  "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
  "file:///etc/passwd",
  "..",
  ".",
  "%2e%2e",
  "%ff",
  "%zz",
  "victim%2f..%2f..%2fsecret.txt",
  "victim/../../secret.txt",
];

/** Every place where a caller names something. */
const places: [method: string, path: (id: string) => string][] = [
  ["GET", (id) => `/api/v1/jobs/${id}`],
  ["DELETE", (id) => `/api/v1/jobs/${id}`],
  ["GET", (id) => `/api/v1/jobs/${id}/events`],
  ["GET", (id) => `/api/v1/jobs/${id}/runs`],
  ["GET", (id) => `/api/v1/jobs/${id}/deliveries`],
  ["GET", (id) => `/api/v1/jobs/${id}/files`],
  ["GET", (id) => `/api/v1/jobs/${id}/files.zip`],
  ["GET", (id) => `/api/v1/jobs/${id}/files/out.txt`],
  ["GET", (id) => `/api/v1/jobs/victim/files/${id}`],
  ["GET", (id) => `/api/v1/jobs/victim/files/x/${id}`],
  ["POST", (id) => `/api/v1/jobs/${id}/cancel`],
  ["POST", (id) => `/api/v1/jobs/${id}/retry`],
  ["POST", (id) => `/api/v1/jobs/${id}/release`],
  ["POST", (id) => `/api/v1/jobs/${id}/token`],
  ["POST", (id) => `/api/v1/deliveries/${id}/redeliver`],
  ["POST", (id) => `/api/v1/nodes/${id}/drain`],
  ["POST", (id) => `/api/v1/nodes/${id}/resume`],
  ["POST", (id) => `/api/v1/queues/${id}/pause`],
  ["POST", (id) => `/api/v1/queues/${id}/resume`],
];

test.each(places.map(([method, path]) => [`${method} ${path("{id}")}`, method, path] as const))(
  "no spelling of a path leads out of %s",
  async (_, method, path) => {
    expect(encodings.length).toBeGreaterThanOrEqual(40);
    for (const encoding of encodings) {
      const line = `${method} ${path(encoding)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
      const answer = await sendRaw(port, [line]);
      expect(answer.text, encoding).not.toContain(secret);
      expect(answer.text, encoding).not.toContain("root:");
      expect([200, 204, 400, 404, 405], `${encoding}: ${answer.text}`).toContain(answer.status);
      // What is still there when the dots are taken out is the path of something else, which may be there.
      if (answer.status < 300)
        expect(resolved(path(encoding)), encoding).toMatch(
          /^\/api\/v1(\/jobs|\/jobs\/victim(\/files|\/files\/out\.txt)?)?\/?$/,
        );
      else expect(answer.text.toLowerCase(), encoding).toContain("content-type: application/problem+json");
    }
    expect((await service.call("/api/v1/jobs/victim")).status).toBe(200);
  },
  30_000,
);

/** The path as whoever takes dots out of paths reads it. */
function resolved(path: string): string {
  return new URL(path, "http://127.0.0.1").pathname;
}
