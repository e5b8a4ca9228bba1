/** Files: what is uploaded with a statement, and what comes back. */

import { setInterval } from "node:timers";
import * as is from "./check.js";
import { type Handle, native, type SentBytes, type Upload } from "./native.js";
import { answer } from "./wait.js";

/** A file with its name and type; the type is such as `image/png`. */
export interface FileUpload {
  content: Uint8Array | Blob;
  name?: string | undefined;
  mime?: string | undefined;
}

/**
 * Files by the name that `FILE("name")` has in the statement. A `File` or `Blob` brings its own name and type; bytes alone
 * get the placeholder's name.
 */
export type Files = { readonly [placeholder: string]: FileUpload | Uint8Array | Blob };

/** How far an upload is: bytes of all files together. */
export interface UploadProgress {
  /** So many bytes are on their way. */
  readonly sentBytes: number;
  /** So many there are. */
  readonly totalBytes: number;
}

export interface UploadOptions {
  /** Gives the upload up; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called now and then while files are sent, and when all are. */
  onProgress?: ((progress: UploadProgress) => void) | undefined;
}

export interface DownloadOptions {
  /** Gives the download up; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Whose table it is, for those who may read the files of others. */
  user?: string | undefined;
}

/** A downloaded file. */
export interface FileDownload {
  /** The bytes. */
  readonly content: Uint8Array;
  /** What the server says that it is. */
  readonly mime: string | null;
}

const PROGRESS_EVERY = 50;

/** @internal */
export function checkUpload(options: UploadOptions): void {
  is.checkOptions(options, { signal: is.signal, onProgress: is.callback });
  options.signal?.throwIfAborted();
}

/** @internal */
export function checkDownload(options: DownloadOptions): void {
  is.checkOptions(options, { signal: is.signal, user: is.text });
  options.signal?.throwIfAborted();
}

/** What crosses to the native half. @internal */
export async function uploads(files: Files): Promise<Upload[]> {
  return Promise.all(
    Object.entries(files).map(async ([placeholder, file]) => {
      const given: FileUpload = file instanceof Uint8Array || file instanceof Blob ? { content: file } : file;
      const { content } = given;
      const blob = content instanceof Blob ? content : undefined;
      if (!blob && !(content instanceof Uint8Array)) {
        throw new TypeError(
          `file \`${placeholder}\` must be a Uint8Array, a Blob, or an object with one as \`content\``,
        );
      }
      const mime = given.mime ?? (blob?.type || undefined);
      return {
        placeholder,
        name: given.name ?? (blob as File | undefined)?.name ?? placeholder,
        content: blob ? new Uint8Array(await blob.arrayBuffer()) : (content as Uint8Array),
        ...(mime !== undefined && { mime }),
      };
    }),
  );
}

/** Waits for an upload, and tells of its progress meanwhile. @internal */
export async function uploaded(
  files: Upload[],
  options: UploadOptions,
  start: (progress: SentBytes) => Handle,
): Promise<number> {
  const progress = new native.UploadProgress();
  const totalBytes = files.reduce((sum, file) => sum + file.content.length, 0);
  let last = -1;
  const tell = () => {
    const { sentBytes } = progress;
    if (sentBytes !== last) options.onProgress?.({ sentBytes, totalBytes });
    last = sentBytes;
  };
  const timer = options.onProgress && setInterval(tell, PROGRESS_EVERY);
  try {
    const changed = await answer<number>(start(progress), options.signal);
    tell();
    return changed;
  } finally {
    clearInterval(timer);
  }
}
