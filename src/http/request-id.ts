const sane = /^[\w.:-]{1,128}$/;

/** Names requests: the caller's `X-Request-Id` when it is sane, else one that is unique over processes. */
export function createRequestIds(): (given: string | null) => string {
  const boot = crypto.randomUUID().slice(0, 8);
  let count = 0;
  return (given) => {
    if (given !== null && sane.test(given)) return given;
    count += 1;
    return `${boot}-${count}`;
  };
}
