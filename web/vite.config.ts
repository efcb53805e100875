import { svelte } from '@sveltejs/vite-plugin-svelte';
import { loadEnv } from 'vite';
import { defineConfig } from 'vitest/config';

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The hub's policy allows nothing inline, so neither `data:` pictures nor a preload script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
  },
  server: {
    host: '127.0.0.1',
    // Where `npm run dev` finds a hub.
    proxy: { '/api': loadEnv(mode, '.', 'TANDEM_')['TANDEM_HUB'] ?? 'http://127.0.0.1:8088' },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
}));
