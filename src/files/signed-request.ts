import { createHash, createHmac } from "node:crypto";

/** Who asks, and where: the part of `BucketOptions` that signs. */
export type Signer = { region: string; accessKeyId: string; secretAccessKey: string };

export type SignedRequest = {
  method: "GET" | "DELETE";
  /** Of the service, with the bucket's part of the path. */
  endpoint: string;
  /** Path segments below the endpoint, as they are. */
  path: readonly string[];
  query: Record<string, string>;
};

const timeoutMs = 30_000;
const emptyHash = createHash("sha256").update("").digest("hex");
const signedHeaders = "host;x-amz-content-sha256;x-amz-date";

/** Sends a request without a body, for the calls that Bun's client does not have. Rejects when there is no answer. */
export function sendSigned(signer: Signer, request: SignedRequest): Promise<Response> {
  const { url, headers } = sign(signer, request, new Date());
  return fetch(url, { method: request.method, headers, signal: AbortSignal.timeout(timeoutMs) });
}

/**
 * What S3 takes for ours (AWS Signature Version 4).
 * See https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function sign(
  signer: Signer,
  request: SignedRequest,
  now: Date,
): { url: string; headers: Record<string, string> } {
  const base = new URL(request.endpoint);
  const path = [base.pathname.replace(/\/$/, ""), ...request.path.map(encode)].join("/") || "/";
  const query = Object.entries(request.query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const at = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = { host: base.host, "x-amz-content-sha256": emptyHash, "x-amz-date": at };
  const listed = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = [request.method, path, query, listed.join(""), signedHeaders, emptyHash].join("\n");
  const authorization = authorize(signer, at, canonical);
  return { url: `${base.origin}${path}?${query}`, headers: { ...headers, authorization } };
}

function authorize({ region, accessKeyId, secretAccessKey }: Signer, at: string, canonical: string): string {
  const scope = [at.slice(0, 8), region, "s3", "aws4_request"];
  const hashed = createHash("sha256").update(canonical).digest("hex");
  const text = ["AWS4-HMAC-SHA256", at, scope.join("/"), hashed].join("\n");
  const key = scope.reduce<Buffer | string>((secret, part) => hmac(secret, part), `AWS4${secretAccessKey}`);
  const signature = hmac(key, text).toString("hex");
  return `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope.join("/")}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** All but RFC 3986's unreserved characters. A key keeps its slashes. */
function encode(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%2F", "/");
}
