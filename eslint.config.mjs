import js from "@eslint/js"
import importX from "eslint-plugin-import-x"
import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript"
import tseslint from "typescript-eslint"

/** Who may import whom (ARCHITECTURE.md): package folder -> our packages it may use. */
const layers = {
  "packages/protocol": [],
  "packages/kernels": [],
  "packages/crypto": ["kernels", "protocol"],
  "packages/aggregation": ["kernels", "protocol"],
  "packages/planner": ["protocol"],
  "packages/tuner": ["kernels", "protocol"],
  "apps/client": ["protocol", "crypto", "tuner", "aggregation"],
  "apps/server": ["protocol", "crypto", "aggregation", "planner"],
}
const ours = ["protocol", "crypto", "kernels", "aggregation", "planner", "tuner", "client", "server", "cli"]

/** Third-party edges with one owner each: pattern -> folders that may import it. */
const owners = [
  { group: ["libsodium-wrappers-sumo", "sodium-native"], folders: ["packages/crypto"] },
  { group: ["protobufjs", "protobufjs/*"], folders: ["packages/protocol"] },
  { group: ["@tensorflow/*"], folders: ["packages/kernels", "packages/tuner"] },
  { group: ["highs"], folders: ["packages/planner"] },
  { group: ["ws"], folders: ["apps/server", "apps/client"] },
  { group: ["undici"], folders: ["apps/client"] },
  { group: ["kysely", "better-sqlite3", "@nestjs/*", "fastify"], folders: ["apps/server"] },
]

function layerRules([folder, allowed]) {
  const self = folder.split("/")[1]
  const forbidden = ours.filter((name) => name !== self && !allowed.includes(name)).map((name) => `@lamina/${name}`)
  const foreign = owners.filter((owner) => !owner.folders.includes(folder)).flatMap((owner) => owner.group)
  return {
    files: [`${folder}/src/**/*.ts`],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: forbidden.flatMap((name) => [name, `${name}/*`]),
              message: "layers run downhill: ARCHITECTURE.md",
            },
            { group: foreign, message: "this dependency has one owner: ARCHITECTURE.md" },
          ].filter((pattern) => pattern.group.length > 0),
        },
      ],
    },
  }
}

const serverRound = {
  files: ["apps/server/src/round/**/*.ts"],
  ignores: ["**/*.test.ts"],
  rules: {
    "no-restricted-globals": ["error", "setTimeout", "setInterval", "process", "fetch"],
    "no-restricted-properties": [
      "error",
      { object: "Date", property: "now", message: "round/ is pure: time comes in as a parameter" },
      { object: "Math", property: "random", message: "round/ is pure: randomness comes in as a parameter" },
    ],
  },
}

export default tseslint.config(
  { ignores: ["**/dist/**", "**/build/**", "**/gen/**", "node_modules/**", "runs/**", "**/vectors/**/*.js"] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    files: ["**/*.ts"],
    plugins: { "import-x": importX },
    settings: { "import-x/resolver-next": [createTypeScriptImportResolver({ project: "tsconfig.json" })] },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports" }],
      "import-x/no-cycle": ["error", { maxDepth: 8 }],
      "import-x/no-duplicates": "error",
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      "max-params": ["error", 5],
      eqeqeq: "error",
      "no-console": "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["**/*.test.ts", "test/**/*.ts"],
    rules: { "max-lines-per-function": "off", "no-console": "off" },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: {
      globals: Object.fromEntries(
        [
          "process",
          "console",
          "URL",
          "Buffer",
          "performance",
          "setTimeout",
          "clearTimeout",
          "globalThis",
          "fetch",
          "AbortController",
          "AbortSignal",
        ].map((name) => [name, "readonly"]),
      ),
    },
  },
  {
    files: ["apps/*/src/**/*.ts", "packages/*/src/**/*.ts"],
    ignores: ["**/config.ts", "**/*.test.ts", "apps/cli/**"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "MemberExpression[object.name='process'][property.name='env']",
          message: "the environment is read in one config.ts per app",
        },
      ],
    },
  },
  ...Object.entries(layers).map(layerRules),
  serverRound,
)
