/** Tests are TypeScript, transpiled one file at a time (types are checked by `npm run check`); imports of @lamina/* are the built packages. */
export default {
  globalSetup: "<rootDir>/test/own-tmp.mjs",
  globalTeardown: "<rootDir>/test/remove-own-tmp.mjs",
  testEnvironment: "<rootDir>/test/environment.mjs",
  roots: ["<rootDir>/packages", "<rootDir>/apps", "<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  modulePathIgnorePatterns: ["<rootDir>/.*/dist/"],
  transform: {
    "^.+\\.ts$": ["ts-jest", { useESM: true, tsconfig: "<rootDir>/tsconfig.test.json", diagnostics: false }],
  },
  testTimeout: 30_000,
  maxWorkers: 2,
}
