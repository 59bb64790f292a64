import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client"

import { hasErrorCode } from "@lamina/protocol/errors"

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30]

export type Metrics = ReturnType<typeof createMetrics>

/** The figures of one coordinator, in a registry of its own: several coordinators may live in one process. */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: "lamina_request_seconds",
    help: "Time to answer a socket request",
    labelNames: ["event"],
    buckets: SECONDS,
    registers,
  })
  return {
    registry,
    connectedClients: new Gauge({ name: "lamina_connected_clients", help: "Clients with an open session", registers }),
    activeRuns: new Gauge({ name: "lamina_active_runs", help: "Runs that are not over", registers }),
    updates: new Counter({
      name: "lamina_updates_total",
      help: "Answers to commits",
      labelNames: ["status"],
      registers,
    }),
    rounds: new Counter({
      name: "lamina_rounds_total",
      help: "Rounds that are over",
      labelNames: ["outcome"],
      registers,
    }),
    uploadBytes: new Counter({ name: "lamina_upload_bytes_total", help: "Bytes of chunks made durable", registers }),
    refused: new Counter({
      name: "lamina_refused_total",
      help: "Requests refused over HTTP",
      labelNames: ["code"],
      registers,
    }),
    aggregation: new Histogram({
      name: "lamina_aggregation_seconds",
      help: "Time to aggregate a round",
      buckets: [...SECONDS, 120, 600],
      registers,
    }),
    /** Runs the work and records how long it took under the event's name. */
    async timed<T>(event: string, work: () => Promise<T>): Promise<T> {
      const stop = requests.startTimer({ event })
      try {
        return await work()
      } finally {
        stop()
      }
    },
    countRefusal(error: unknown): void {
      this.refused.inc({ code: hasErrorCode(error) ? error.code : "INTERNAL" })
    },
  }
}
