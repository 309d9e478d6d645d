import { expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { parseSecrets, sign } from "../../src/webhooks/sign.ts";

const first = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const second = `whsec_${Buffer.alloc(64, 7).toString("base64")}`;
const nowS = Math.floor(Date.now() / 1_000);

test("the test vector of Standard Webhooks is signed as its document says", () => {
  const headers = sign({
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestampS: 1_614_265_330,
    body: '{"test": 2432232314}',
    secrets: parseSecrets([first]),
  });
  expect(headers).toEqual({
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

const bodies = ["", "{}", '{"name":"Ada"}', '{"text":"ünï 𝄞 \\u0000"}', "x".repeat(100_000)];
test.each(bodies)("the published library verifies body %#", (body) => {
  const headers = sign({ id: "whd_1", timestampS: nowS, body, secrets: parseSecrets([first]) });
  expect(() => new Webhook(first).verify(body, headers, { jsonParse: false })).not.toThrow();
});

test("while rotating, receivers with the old and receivers with the new secret both verify", () => {
  const headers = sign({ id: "whd_1", timestampS: nowS, body: "{}", secrets: parseSecrets([first, second]) });
  expect(headers["webhook-signature"]?.split(" ")).toHaveLength(2);
  for (const secret of [first, second]) expect(new Webhook(secret).verify("{}", headers)).toEqual({});
});

type Signed = { headers: Record<string, string>; body: string };
const forgeries: [string, (signed: Signed) => Signed][] = [
  ["another body", ({ headers }) => ({ headers, body: '{"amount":9}' })],
  ["another id", ({ headers, body }) => ({ headers: { ...headers, "webhook-id": "whd_2" }, body })],
  ["another time", ({ headers, body }) => ({ headers: { ...headers, "webhook-timestamp": String(nowS + 1) }, body })],
  [
    "another version",
    ({ headers, body }) => ({
      headers: { ...headers, "webhook-signature": headers["webhook-signature"]?.replace("v1,", "v2,") ?? "" },
      body,
    }),
  ],
  ["no signature", ({ headers: { "webhook-signature": _, ...headers }, body }) => ({ headers, body })],
  [
    "the signature of another secret",
    ({ body }) => ({ headers: sign({ id: "whd_1", timestampS: nowS, body, secrets: parseSecrets([second]) }), body }),
  ],
  [
    "a replay after ten minutes",
    ({ body }) => ({
      headers: sign({ id: "whd_1", timestampS: nowS - 600, body, secrets: parseSecrets([first]) }),
      body,
    }),
  ],
];
test.each(forgeries)("the published library refuses a delivery with %s", (_, forge) => {
  const body = '{"amount":1}';
  const forged = forge({
    headers: sign({ id: "whd_1", timestampS: nowS, body, secrets: parseSecrets([first]) }),
    body,
  });
  expect(() => new Webhook(first).verify(forged.body, forged.headers)).toThrow();
});

test("without a secret the id and the time are sent alone", () => {
  expect(sign({ id: "whd_1", timestampS: 5.9, body: "{}", secrets: [] })).toEqual({
    "webhook-id": "whd_1",
    "webhook-timestamp": "5",
  });
});

test.each(["", "a.b", "a b", "a\r\nx: y", "é", "x".repeat(129)])(
  "an id that could forge or inject is a fault: %j",
  (id) => {
    expect(() => sign({ id, timestampS: 1, body: "", secrets: [] })).toThrow("webhook id");
  },
);

const base64Of = (bytes: number) => Buffer.alloc(bytes, 0xfb).toString("base64");
test.each([24, 32, 63, 64])("a secret of %d bytes is taken, padded or not", (bytes) => {
  const padded = `whsec_${base64Of(bytes)}`;
  expect(parseSecrets([padded, padded.replace(/=+$/, "")]).map((key) => key.length)).toEqual([bytes, bytes]);
});

const unfit = [
  "",
  "whsec_",
  base64Of(32),
  `WHSEC_${base64Of(32)}`,
  `whsec_${base64Of(23)}`,
  `whsec_${base64Of(65)}`,
  `whsec_${base64Of(32).replaceAll("+", "-").replaceAll("/", "_")}`,
  `whsec_${base64Of(32)}=`,
  `whsec_ ${base64Of(32)}`,
  `whsec_${base64Of(32).slice(0, 20)}*${base64Of(32).slice(20)}`,
];
test.each(unfit)("an unfit secret is named by its number and never shown: %#", (secret) => {
  const fault = faultOf(() => parseSecrets([first, secret]));
  expect(fault.message).toContain("WEBHOOK_SECRET entry 2");
  if (secret.length > 6) expect(fault.message).not.toContain(secret);
});

test("more secrets than a rotation needs are refused", () => {
  expect(() => parseSecrets(Array.from({ length: 6 }, () => first))).toThrow("at most 5");
});

function faultOf(work: () => unknown): Error {
  try {
    work();
  } catch (fault) {
    if (fault instanceof Error) return fault;
  }
  throw new Error("nothing was thrown");
}
