// One configuration for every test of the workspace. Packages resolve from `src` through their `exports`, so no build
// is needed first.
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "packages/conformance/**/*.test.ts",
      "apps/*/{src,test}/**/*.test.ts",
      "scripts/**/*.test.ts",
    ],
    exclude: ["**/node_modules/**", "**/dist/**"],
    // Before any worker starts: a Vulkan driver for machines without one, so that WebGPU is tested everywhere.
    globalSetup: ["./scripts/vulkan.ts"],
    setupFiles: ["./scripts/stray-console.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    allowOnly: false,
    restoreMocks: true,
  },
})
