const notReady = 503;

/**
 * Whether a service answers HTTP: `GET /health` with anything but 503, which says "not yet". An established connection proves
 * nothing, because engines accept for their containers.
 */
export async function answers(url: string, signal: AbortSignal, timeoutMs: number): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      redirect: "manual",
      proxy: false,
      keepalive: false,
    });
    await response.body?.cancel();
    return response.status !== notReady;
  } catch {
    // Refused, reset, cut off or late: each means that it does not answer now.
    return false;
  }
}
