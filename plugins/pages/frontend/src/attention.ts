import type { Line } from "./types";

/** What of a model asks for a person, most urgent first. */
export function attentionOf(line: Line): string[] {
  const { overview } = line;
  if (overview.retired_at) return [];
  const reasons: string[] = [];
  if (line.questions) reasons.push("waits for approval");
  for (const stage of ["raw", "features", "training", "predictions"]) {
    if (overview.verdicts[stage] === "refused") reasons.push(`gate ${stage} refused`);
  }
  if (overview.drift?.verdict === "drift") reasons.push("drift");
  if (overview.decay?.verdict === "decay") reasons.push("decay");
  if (overview.quality?.passed === false) reasons.push("quality below its gate");
  if (!overview.champion) reasons.push("no champion");
  if (line.paused) reasons.push("paused");
  return reasons;
}
