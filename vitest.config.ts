import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 180000,
    hookTimeout: 120000,
    maxWorkers: 2,
    reporters: ['default', ['json', { outputFile: 'dist/test-results.json' }]],
  },
});
