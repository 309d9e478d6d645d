import { absentCalls, type CallNumbers, clone, ioctl, refusedCalls, socket } from "./seccomp-calls.ts";

export type SeccompArchitecture = "x64" | "arm64";

const auditArchitecture = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
const loadWord = 0x20;
const jumpIfEqual = 0x15;
const jumpIfAtLeast = 0x35;
const jumpIfAnyBit = 0x45;
const returnValue = 0x06;

const allow = 0x7fff0000;
const killProcess = 0x80000000;
const refuse = { EPERM: 0x00050001, ENOSYS: 0x00050026, EAFNOSUPPORT: 0x00050061 } as const;

/** Offsets in struct seccomp_data; the filter reads the low halves of the arguments, as the kernel does for these calls. */
const at = { number: 0, architecture: 4, argument0: 16, argument1: 24 } as const;
const x32Bit = 0x40000000;
const newNamespaceFlags = 0x7e020000;
const terminalInjection = [0x5412, 0x541c];
/** AF_UNIX, AF_INET, AF_INET6. Everything else is refused: AF_VSOCK reaches the hypervisor past a network namespace. */
const socketFamilies = [1, 2, 10];

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/**
 * A classic BPF program for `bwrap --seccomp`: little-endian struct sock_filter, 8 bytes each. Refuses what a script has
 * no use for and what namespaces do not cover; a foreign architecture kills the process. The arm64 numbers are untested.
 */
export function seccompProgram(architecture: SeccompArchitecture): Uint8Array {
  const pick = (numbers: CallNumbers) => numbers[architecture === "x64" ? 0 : 1];
  return encode([
    ...onlyThisArchitecture(architecture),
    ...Object.values(refusedCalls).flatMap((numbers) => answer(pick(numbers), refuse.EPERM)),
    ...Object.values(absentCalls).flatMap((numbers) => answer(pick(numbers), refuse.ENOSYS)),
    ...guard(pick(clone), at.argument0, [[jumpIfAnyBit, 0, 1, newNamespaceFlags], give(refuse.EPERM), give(allow)]),
    ...guard(pick(ioctl), at.argument1, [...oneOf(terminalInjection), give(allow), give(refuse.EPERM)]),
    ...guard(pick(socket), at.argument0, [...oneOf(socketFamilies), give(refuse.EAFNOSUPPORT), give(allow)]),
    give(allow),
  ]);
}

function onlyThisArchitecture(architecture: SeccompArchitecture): Instruction[] {
  const start: Instruction[] = [
    [loadWord, 0, 0, at.architecture],
    [jumpIfEqual, 1, 0, auditArchitecture[architecture]],
    give(killProcess),
    [loadWord, 0, 0, at.number],
  ];
  if (architecture === "arm64") return start;
  return [...start, [jumpIfAtLeast, 0, 1, x32Bit], give(refuse.ENOSYS)];
}

function answer(number: number | null, value: number): Instruction[] {
  return number === null ? [] : [[jumpIfEqual, 0, 1, number], give(value)];
}

/** Runs `body` on one argument of one call; the body must return on every path. */
function guard(number: number | null, argument: number, body: Instruction[]): Instruction[] {
  if (number === null) return [];
  return [[jumpIfEqual, 0, body.length + 1, number], [loadWord, 0, 0, argument], ...body];
}

/** Falls through when no value matches; a match skips the one instruction that follows. */
function oneOf(values: number[]): Instruction[] {
  return values.map((value, index): Instruction => [jumpIfEqual, values.length - index, 0, value]);
}

function give(value: number): Instruction {
  return [returnValue, 0, 0, value];
}

function encode(program: Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(([code, jumpTrue, jumpFalse, value], index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, jumpTrue);
    bytes.setUint8(index * 8 + 3, jumpFalse);
    bytes.setUint32(index * 8 + 4, value >>> 0, true);
  });
  return new Uint8Array(bytes.buffer);
}
