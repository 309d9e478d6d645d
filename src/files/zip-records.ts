/** An entry that was written, as the central directory needs it. */
export type WrittenEntry = {
  name: string;
  mode: number;
  isDirectory: boolean;
  mtimeMs: number;
  crc: number;
  packedBytes: number;
  bytes: number;
  offset: number;
  /** Written with a zip64 field in its local header. */
  isWide: boolean;
};
type Bytes = Uint8Array<ArrayBuffer>;

const u16Max = 0xffff;
const u32Max = 0xffff_ffff;

const unixVersion45 = (3 << 8) | 45;
const version20 = 20;
const version45 = 45;
const utf8Flag = 1 << 11;
const descriptorFlag = 1 << 3;
const deflateMethod = 8;
export const zip64Id = 1;
export const timestampId = 0x5455;
const directoryType = 0o040000;
const fileType = 0o100000;

/** The DOS clock goes from 1980 to 2107 in steps of two seconds; other times become the nearest. */
export function dosTime(mtimeMs: number): Date {
  const first = new Date(1980, 0, 1).getTime();
  const last = new Date(2099, 11, 31).getTime();
  return new Date(Math.min(Math.max(mtimeMs, first), last));
}

/** Info-ZIP's extended timestamp: the time in UTC, to the second. */
export function timestampExtra(mtimeMs: number): Bytes {
  const out = new DataView(new ArrayBuffer(5));
  out.setUint8(0, 1);
  out.setInt32(1, Math.min(Math.max(Math.floor(mtimeMs / 1_000), -0x8000_0000), 0x7fff_ffff), true);
  return new Uint8Array(out.buffer);
}

/** The data descriptor of an entry whose local header carries a zip64 field (APPNOTE 4.3.9.2). */
export function wideDescriptor(entry: Pick<WrittenEntry, "crc" | "packedBytes" | "bytes">): Bytes {
  const out = new DataView(new ArrayBuffer(24));
  out.setUint32(0, 0x08074b50, true);
  out.setUint32(4, entry.crc, true);
  out.setBigUint64(8, BigInt(entry.packedBytes), true);
  out.setBigUint64(16, BigInt(entry.bytes), true);
  return new Uint8Array(out.buffer);
}

/** The entry's record in the central directory (APPNOTE 4.3.12). */
export function centralRecord(entry: WrittenEntry): Bytes {
  const name = Buffer.from(entry.name, "utf8");
  const wide = wideFields(entry);
  const stamp = timestampExtra(entry.mtimeMs);
  const out = new DataView(new ArrayBuffer(46 + name.length + wide.length + 4 + stamp.length));
  const bytes = new Uint8Array(out.buffer);
  writeCommon(out, entry, entry.isWide || wide.length > 0);
  out.setUint16(28, name.length, true);
  out.setUint16(30, wide.length + 4 + stamp.length, true);
  out.setUint32(38, attributes(entry), true);
  out.setUint32(42, Math.min(entry.offset, u32Max), true);
  bytes.set(name, 46);
  bytes.set(wide, 46 + name.length);
  out.setUint16(46 + name.length + wide.length, timestampId, true);
  out.setUint16(48 + name.length + wide.length, stamp.length, true);
  bytes.set(stamp, 50 + name.length + wide.length);
  return bytes;
}

/** The end of the archive, with the zip64 records in front when anything does not fit into 16 or 32 bits. */
export function endRecords(directory: { entries: number; bytes: number; offset: number }): Bytes {
  const { entries, bytes, offset } = directory;
  const isWide = entries >= u16Max || bytes >= u32Max || offset >= u32Max;
  const out = new DataView(new ArrayBuffer(isWide ? 98 : 22));
  if (isWide) writeWideEnd(out, directory);
  const at = isWide ? 76 : 0;
  out.setUint32(at, 0x06054b50, true);
  out.setUint16(at + 8, Math.min(entries, u16Max), true);
  out.setUint16(at + 10, Math.min(entries, u16Max), true);
  out.setUint32(at + 12, Math.min(bytes, u32Max), true);
  out.setUint32(at + 16, Math.min(offset, u32Max), true);
  return new Uint8Array(out.buffer);
}

function writeCommon(out: DataView, entry: WrittenEntry, isWide: boolean): void {
  const time = dosTime(entry.mtimeMs);
  const isAscii = Buffer.byteLength(entry.name) === entry.name.length;
  out.setUint32(0, 0x02014b50, true);
  out.setUint16(4, unixVersion45, true);
  out.setUint16(6, isWide ? version45 : version20, true);
  out.setUint16(8, descriptorFlag | (isAscii ? 0 : utf8Flag), true);
  out.setUint16(10, deflateMethod, true);
  out.setUint16(12, (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1), true);
  out.setUint16(14, ((time.getFullYear() - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate(), true);
  out.setUint32(16, entry.crc, true);
  out.setUint32(20, Math.min(entry.packedBytes, u32Max), true);
  out.setUint32(24, Math.min(entry.bytes, u32Max), true);
}

/** Only the fields that do not fit, in the order of APPNOTE 4.5.3. */
function wideFields(entry: WrittenEntry): Bytes {
  const values = [entry.bytes, entry.packedBytes, entry.offset].filter((value) => value >= u32Max);
  if (values.length === 0) return new Uint8Array(0);
  const out = new DataView(new ArrayBuffer(4 + 8 * values.length));
  out.setUint16(0, zip64Id, true);
  out.setUint16(2, 8 * values.length, true);
  for (const [index, value] of values.entries()) out.setBigUint64(4 + 8 * index, BigInt(value), true);
  return new Uint8Array(out.buffer);
}

/** Permissions as a Unix reader restores them; set-user-id, set-group-id and sticky bits stay behind. */
function attributes(entry: WrittenEntry): number {
  const unix = (entry.isDirectory ? directoryType : fileType) | (entry.mode & 0o777);
  return ((unix << 16) | (entry.isDirectory ? 0x10 : 0)) >>> 0;
}

function writeWideEnd(out: DataView, directory: { entries: number; bytes: number; offset: number }): void {
  out.setUint32(0, 0x06064b50, true);
  out.setBigUint64(4, 44n, true);
  out.setUint16(12, unixVersion45, true);
  out.setUint16(14, version45, true);
  out.setBigUint64(24, BigInt(directory.entries), true);
  out.setBigUint64(32, BigInt(directory.entries), true);
  out.setBigUint64(40, BigInt(directory.bytes), true);
  out.setBigUint64(48, BigInt(directory.offset), true);
  out.setUint32(56, 0x07064b50, true);
  out.setBigUint64(64, BigInt(directory.offset + directory.bytes), true);
  out.setUint32(72, 1, true);
}
