import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "./init.js"

test("initKernels may be called again and keeps one set of gradients", async () => {
  await initKernels({ backend: "cpu" })
  const gradient = tf.getGradient("QuantLoraLinear")
  await initKernels({ backend: "cpu" })
  expect(tf.getBackend()).toBe("cpu")
  expect(tf.getGradient("QuantLoraLinear")).toBe(gradient)
})
