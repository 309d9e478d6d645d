/** What a caller prefers (RFC 7240). `waitS` is null when it did not ask to wait. */
export type Preferences = { waitS: number | null; respondAsync: boolean };

const headerCharsMax = 1_000;

/** Reads a `Prefer` header. What is not understood is left out, as the RFC wants. */
export function readPreferences(header: string | null): Preferences {
  const preferences: Preferences = { waitS: null, respondAsync: false };
  for (const part of (header ?? "").slice(0, headerCharsMax).split(",")) {
    const [token = "", value] = (part.split(";")[0] ?? "").split("=").map((text) => text.trim());
    const name = token.toLowerCase();
    // The first one counts.
    if (name === "respond-async") preferences.respondAsync = true;
    else if (name === "wait" && preferences.waitS === null) preferences.waitS = secondsIn(value);
  }
  return preferences;
}

/** `Preference-Applied`: the wait as it was granted. Null when nothing was asked for. */
export function preferenceApplied(preferences: Preferences, grantedMs: number): string | null {
  const applied = [
    ...(preferences.waitS === null ? [] : [`wait=${Math.floor(grantedMs / 1_000)}`]),
    ...(preferences.respondAsync ? ["respond-async"] : []),
  ];
  return applied.length === 0 ? null : applied.join(", ");
}

function secondsIn(value: string | undefined): number | null {
  const text = value?.replace(/^"(.*)"$/, "$1") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}
