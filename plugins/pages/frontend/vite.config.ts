import { defineConfig } from "vite";
import react from "@vitejs/plugin-react";
import { recordSources } from "./digest";

const OUT = "../static";

// Relative addresses: Airflow may be served below any path. No source maps: the sources are beside the build.
export default defineConfig({
  base: "./",
  plugins: [react(), recordSources(import.meta.dirname, OUT)],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
    license: { fileName: "licences.md" },
  },
});
