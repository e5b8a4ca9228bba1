/**
 * The buffer that packets are written to, and views of it. There is one for each JavaScript thread: whatever is read out
 * of it is read before anything else happens.
 *
 * The layout is described in `bindings-common/src/packet.rs`.
 */

const LEAST = 256 * 1024;
/** A buffer that had to be larger than this, for a single huge row, is given back. */
const MOST = 8 * 1024 * 1024;

/** Words in front of the lists. */
export const HEAD = 8;

/** What `Buffer.toString` is made of: twice as fast for short texts, and in Node.js, Bun and Deno alike. */
interface Slices extends Buffer {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
}

export class Scratch {
  bytes!: Slices;
  words!: Uint32Array;
  signed!: Int32Array;
  doubles!: Float64Array;
  integers!: BigInt64Array;

  constructor() {
    this.#allocate(LEAST);
  }

  /** Makes room for so many bytes. What was in it is lost. */
  grow(bytes: number): void {
    this.#allocate(2 ** Math.ceil(Math.log2(bytes)));
  }

  /** To be called when a packet was read. */
  shrink(): void {
    if (this.bytes.length > MOST) this.#allocate(LEAST);
  }

  #allocate(bytes: number): void {
    const memory = new ArrayBuffer(bytes);
    this.bytes = Buffer.from(memory) as Slices;
    this.words = new Uint32Array(memory);
    this.signed = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.integers = new BigInt64Array(memory);
  }

  get kind(): number {
    return this.words[0]!;
  }

  /** Whether the columns are not those of the packet before. */
  get hasNewColumns(): boolean {
    return (this.words[1]! & 1) !== 0;
  }

  /** Rows of this packet and those that follow. */
  get total(): number {
    return this.words[2]!;
  }

  get rows(): number {
    return this.words[3]!;
  }

  get columns(): number {
    return this.words[4]!;
  }

  /** How many words the lists have. */
  get listed(): number {
    return this.words[5]!;
  }

  /** Where the rows begin, in bytes. */
  get cells(): number {
    return padded((HEAD + this.listed) * 4);
  }

  /** Bytes that a row takes. */
  get stride(): number {
    return padded(this.columns) + this.columns * 8;
  }

  /** Where the text begins, in bytes. */
  get text(): number {
    return this.cells + this.rows * this.stride;
  }

  get textLength(): number {
    return this.words[6]!;
  }

  /** Where the blobs begin, in bytes. */
  get blobs(): number {
    return this.text + padded(this.textLength);
  }

  /** A word of the lists. */
  word(at: number): number {
    return this.words[HEAD + at]!;
  }

  /** A version in the lists, at an even place. */
  version(at: number): bigint | undefined {
    const version = this.integers[(HEAD + at) / 2]!;
    return version < 0n ? undefined : version;
  }

  /** A double in the lists, at an even place. */
  double(at: number): number {
    return this.doubles[(HEAD + at) / 2]!;
  }

  /** A copy of words of the lists. */
  list(at: number, length: number): Uint32Array {
    return this.words.slice(HEAD + at, HEAD + at + length);
  }

  /** The text of a note, whose two words are at `at`. */
  note(at: number): string | undefined {
    const length = this.word(at + 1);
    if (length === 0) return undefined;
    const start = this.text + this.word(at);
    return this.bytes.utf8Slice(start, start + length - 1);
  }
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}

export const scratch = new Scratch();
