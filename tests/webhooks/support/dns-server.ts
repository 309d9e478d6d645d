import { getServers, setServers } from "node:dns";

export type DnsAnswer = { addresses: string[]; cname?: string } | "nxdomain" | "servfail" | "silent";
export type DnsServer = { questions: string[]; close(): void };

/**
 * A name server on loopback that answers by `answer`, and that this process asks until it is closed. UDP alone for answers that
 * fit, TCP beside it for those that do not. TTL is always 0.
 */
export async function startDnsServer(answer: (name: string, type: "A" | "AAAA") => DnsAnswer): Promise<DnsServer> {
  const questions: string[] = [];
  const reply = (query: Uint8Array, bytesMax: number): Uint8Array | null => {
    const { name, type, end } = readQuestion(query);
    questions.push(`${name} ${type}`);
    const wanted = answer(name, type);
    return wanted === "silent" ? null : encode(query.subarray(0, end), wanted, { type, bytesMax });
  };
  const { udp, tcp } = await listenOnBoth(reply);
  const earlier = getServers();
  setServers([`127.0.0.1:${udp.port}`]);
  return {
    questions,
    close: () => {
      setServers(earlier);
      udp.close();
      tcp.stop(true);
    },
  };
}

type Reply = (query: Uint8Array, bytesMax: number) => Uint8Array | null;

/** The port that UDP got may be taken on TCP: then another one. */
async function listenOnBoth(reply: Reply) {
  for (let tries = 0; ; tries++) {
    const udp = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (socket, bytes, port, address) => {
          const message = reply(new Uint8Array(bytes), 512);
          if (message !== null) socket.send(message, port, address);
        },
      },
    });
    try {
      return { udp, tcp: listenTcp(reply, udp.port) };
    } catch (fault) {
      udp.close();
      if (tries >= 20) throw fault;
    }
  }
}

function listenTcp(reply: Reply, port: number) {
  return Bun.listen({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (socket, bytes) => {
        const message = reply(new Uint8Array(bytes).subarray(2), 65_535);
        if (message !== null) socket.end(Buffer.concat([Buffer.from(u16(message.length)), message]));
      },
    },
  });
}

function readQuestion(query: Uint8Array): { name: string; type: "A" | "AAAA"; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(new TextDecoder().decode(query.subarray(at + 1, at + 1 + length)));
    at += length + 1;
  }
  return { name: labels.join("."), type: query[at + 2] === 28 ? "AAAA" : "A", end: at + 5 };
}

function encode(
  question: Uint8Array,
  answer: Exclude<DnsAnswer, "silent">,
  limits: { type: "A" | "AAAA"; bytesMax: number },
): Uint8Array {
  const records = typeof answer === "string" ? [] : recordsOf(answer, limits.type);
  const size = question.length + records.reduce((sum, record) => sum + record.length, 0);
  const truncated = size > limits.bytesMax;
  const code = { nxdomain: 3, servfail: 2 };
  const flags = [0x81 | (truncated ? 0x02 : 0), 0x80 | (typeof answer === "string" ? code[answer] : 0)];
  const kept = truncated ? [] : records;
  const id = question.subarray(0, 2);
  return Buffer.concat([
    id,
    Buffer.from([...flags, 0, 1, ...u16(kept.length), 0, 0, 0, 0]),
    question.subarray(12),
    ...kept.map((record) => Buffer.from(record)),
  ]);
}

function recordsOf(answer: { addresses: string[]; cname?: string }, type: "A" | "AAAA"): number[][] {
  const alias =
    answer.cname === undefined ? [] : [[0xc0, 12, ...u16(5), 0, 1, 0, 0, 0, 0, ...sized(encodeName(answer.cname))]];
  const owner = answer.cname === undefined ? [0xc0, 12] : encodeName(answer.cname);
  return [
    ...alias,
    ...answer.addresses.map((address) => [
      ...owner,
      ...u16(type === "A" ? 1 : 28),
      0,
      1,
      0,
      0,
      0,
      0,
      ...sized(encodeAddress(address)),
    ]),
  ];
}

function encodeName(name: string): number[] {
  return [...name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
}

/** IPv4 dotted, or IPv6 written out in eight groups. */
function encodeAddress(address: string): number[] {
  if (address.includes(".")) return address.split(".").map(Number);
  return address.split(":").flatMap((group) => u16(Number.parseInt(group, 16)));
}

function sized(bytes: number[]): number[] {
  return [...u16(bytes.length), ...bytes];
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}
