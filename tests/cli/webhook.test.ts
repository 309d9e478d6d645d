import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { startService } from "../support/service.ts";
import { cli, scratch, type Started, startCli } from "./cli.ts";

setDefaultTimeout(60_000);

const [secret, older] = [makeSecret(), makeSecret()];

describe("webhook listen", () => {
  test("shows what the service delivers, and that its signature is right", async () => {
    const service = await startService({ WEBHOOK_SECRET: `${secret},${older}`, WEBHOOK_ALLOW: "127.0.0.1/32" });
    try {
      const { url, receiver } = await listen("--json");
      const environment = { FAIRLEAD_URL: service.url };
      const id = (await cli(["submit", "hello", "--webhook", url], { environment })).out.trim();
      const [line = ""] = await receiver.prints(/^\{.*\}$/m);
      expect(JSON.parse(line)).toMatchObject({
        verified: true,
        reason: null,
        body: { type: "job.completed", data: { id, result: { message: "Hello World!" } } },
      });
      receiver.interrupt();
      expect(await receiver.done).toMatchObject({ code: 0 });
    } finally {
      await service.stop();
    }
  });

  test("tells good deliveries from bad ones", async () => {
    const { url, receiver } = await listen();
    expect(await deliver(url, {})).toBe(204);
    await receiver.prints("verified");
    expect(await deliver(url, { key: older })).toBe(204);
    const bad: [change: Partial<Delivery>, said: string][] = [
      [{ key: makeSecret() }, "its signature is not by any of the keys"],
      [{ sent: '{"amount":2}' }, "its signature is not by any of the keys"],
      [{ id: "another" }, "its signature is not by any of the keys"],
      [{ agoS: 400 }, "it was signed more than five minutes from now"],
      [{ agoS: -400 }, "it was signed more than five minutes from now"],
      [{ without: "webhook-signature" }, "it has no signature"],
      [{ without: "webhook-id" }, "it has no signature"],
    ];
    for (const [change, said] of bad) {
      expect(await deliver(url, change)).toBe(401);
      await receiver.prints(`REFUSED, ${said}`);
    }
    expect((await fetch(url)).status).toBe(405);
    receiver.interrupt();
    const { out } = await receiver.done;
    expect(out.match(/REFUSED/g)).toHaveLength(bad.length);
  });

  test("without keys says that nothing is checked", async () => {
    const receiver = startCli(["webhook", "listen", "--port", "0"]);
    const [, url = ""] = await receiver.says(/(http:\/\/\S+) \(no keys: signatures are NOT checked\)/);
    expect(await deliver(url, {})).toBe(204);
    await receiver.prints("unchecked");
    receiver.interrupt();
    expect(await receiver.done).toMatchObject({ code: 0 });
  });

  test("refuses keys that are none without showing them, and a port that is taken", async () => {
    const shown = await cli(["webhook", "listen"], { environment: { WEBHOOK_SECRET: "whsec_c2hvcnQ=" } });
    expect(shown.code).toBe(2);
    expect(shown.err).toContain("key 1 of the webhook secrets");
    expect(shown.err).not.toContain("c2hvcnQ");
    const { url, receiver } = await listen();
    const taken = await cli(["webhook", "listen", "--port", new URL(url).port]);
    expect(taken).toMatchObject({ code: 1 });
    expect(taken.err).toContain("choose another with --port");
    receiver.interrupt();
    await receiver.done;
  });
});

/** A receiver with both keys. */
async function listen(...words: string[]): Promise<{ url: string; receiver: Started }> {
  const file = join(scratch("webhook"), "secret");
  writeFileSync(file, `${secret}\n${older}\n`);
  const receiver = startCli(["webhook", "listen", "--port", "0", "--secret-file", file, ...words]);
  const [, url = ""] = await receiver.says(/(http:\/\/\S+) \(signatures are checked\)/);
  return { url, receiver };
}

type Delivery = { key: string; sent: string; id: string; agoS: number; without: string };

/** The status that a delivery gets, which is right but for the change. */
async function deliver(url: string, { key = secret, sent, id, agoS = 0, without }: Partial<Delivery>): Promise<number> {
  const body = '{"amount":1}';
  const at = new Date(Date.now() - agoS * 1_000);
  const headers: Record<string, string> = {
    "webhook-id": id ?? "msg_1",
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": new Webhook(key).sign("msg_1", at, body),
  };
  if (without !== undefined) delete headers[without];
  return (await fetch(url, { method: "POST", headers, body: sent ?? body })).status;
}

function makeSecret(): string {
  return `whsec_${randomBytes(32).toString("base64")}`;
}
