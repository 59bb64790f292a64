/** What Nest injects at the edge, by explicit token: no decorator metadata is emitted. */
export const COORDINATOR = Symbol("coordinator")
export const LOGGER = Symbol("logger")
export const METRICS = Symbol("metrics")
export const ACCESS = Symbol("access")
export const CONFIG = Symbol("config")
