const words: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ECONNRESET: "the connection was closed before a whole answer came",
  EPIPE: "the connection was closed before a whole answer came",
  EPROTO: "the TLS handshake failed",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another name",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "the certificate's authority is not trusted",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate's authority is not trusted",
  UNABLE_TO_GET_ISSUER_CERT: "the certificate's authority is not trusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the certificate's authority is not trusted",
  Malformed_HTTP_Response: "the answer is not HTTP",
  UnrequestedUpgrade: "the answer is not HTTP",
  ENOTFOUND: "the name has no address",
  DNS_ENOTFOUND: "the name has no address",
  DNS_ENODATA: "the name has no address",
  ETIMEOUT: "the name server did not answer",
  DNS_ETIMEOUT: "the name server did not answer",
  DNS_ESERVFAIL: "the name server failed",
};

/** Why a request failed, in words that may be stored and shown: nothing of the fault's own text, which can hold URLs. */
export function describeFault(fault: unknown): string {
  const code = codeOf(fault);
  const known = Object.hasOwn(words, code) ? words[code] : undefined;
  return known ?? (code === "" ? "the request failed" : `the request failed (${code})`);
}

/** Whether no connection came about, so that nothing was sent. */
export function isUnreached(fault: unknown): boolean {
  return ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"].includes(codeOf(fault));
}

function codeOf(fault: unknown): string {
  if (!(fault instanceof Error) || !("code" in fault)) return "";
  const code = String(fault.code);
  return /^\w{1,60}$/.test(code) ? code : "";
}
