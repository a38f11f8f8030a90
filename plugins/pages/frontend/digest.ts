// Says from which sources a build was made, so that a test can tell a build that is not of the sources beside it.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Plugin } from "vite";

const SKIPPED = new Set(["node_modules"]);

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : filesBelow(path);
    return [path];
  });
}

/** SHA-256 over every source's path and content; `tests/plugins/test_front_end.py` makes the same. */
export function digestOf(folder: string): string {
  const hash = createHash("sha256");
  const paths = filesBelow(folder).map((path) => relative(folder, path).split(sep).join("/"));
  for (const path of paths.sort()) {
    hash.update(path);
    hash.update("\0");
    hash.update(readFileSync(join(folder, path)));
    hash.update("\0");
  }
  return hash.digest("hex");
}

export function recordSources(folder: string, out: string): Plugin {
  return {
    name: "noria-record-sources",
    apply: "build",
    writeBundle: () => writeFileSync(join(folder, out, "sources.sha256"), `${digestOf(folder)}\n`),
  };
}
