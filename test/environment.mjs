import { TestEnvironment } from "jest-environment-node"

/**
 * Node's own typed arrays inside jest's context: buffers that come from worker threads, the addon or sockets are made
 * by
 * the outer realm, and `instanceof Float32Array` must hold for them as it does outside of jest.
 */
export default class SharedRealm extends TestEnvironment {
  constructor(config, context) {
    super(config, context)
    for (const name of [
      "Float32Array",
      "Float64Array",
      "Int8Array",
      "Int16Array",
      "Int32Array",
      "Uint16Array",
      "Uint32Array",
      "BigInt64Array",
      "BigUint64Array",
      "DataView",
      "SharedArrayBuffer",
      "Error",
    ])
      this.global[name] = globalThis[name]
  }
}
