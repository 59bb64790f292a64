/**
 * Bounds every peer enforces before it allocates. Reasons: docs/protocol.md, "Limits". Bytes unless the name says
 * otherwise.
 */
export const LIMITS = {
  /** One control frame over the socket. */
  frameBytesMax: 384 * 1024,
  /** What the socket itself lets pass above that, so that a frame just over is told so instead of being cut off. */
  aboveFrameBytes: 64 * 1024,
  /** ms between two pings of the coordinator on a socket; who hears none for twice that gives the socket up. */
  heartbeatMs: 25_000,
  /** Merkle leaf and transfer chunk of an envelope. */
  chunkBytes: 256 * 1024,
  /** STREAM segment of an envelope. */
  segmentBytes: 64 * 1024,
  envelopeHeaderBytesMax: 16 * 1024,
  /** An envelope that may travel inside UploadOpen: one chunk, and small beside a frame. */
  smallEnvelopeBytesMax: 64 * 1024,
  /** 32,768 chunks of 256 KiB = 8 GiB. */
  leavesMax: 32_768,
  /** Whole chunks one request may bring, one after another: 2 MiB. */
  requestChunksMax: 8,
  /** Those, and the end of the envelope behind them where that is less than a chunk. */
  requestBytesMax: 9 * 256 * 1024 - 1,
  /** Chunks a client may have in flight at once. */
  uploadWindow: 8,
  modulesMax: 4_096,
  rankMax: 1_024,
  /** Rows or columns of one module. */
  featuresMax: 1 << 20,
  nameBytesMax: 200,
  /** UpdateManifest at the head of an update or adapter. */
  manifestBytesMax: 4 * 1024 * 1024,
  /** |x| of any value in an update. */
  valueMax: 1e3,
  /** Tokens or examples one update may claim. */
  weightMax: 1e12,
  /** Nesting of a protobuf message. */
  depthMax: 8,
  /**
   * Fields of one protobuf message, nested ones included: 600 KB of empty sub-messages would decode to 300,000 objects.
   */
  fieldsMax: 100_000,
} as const
