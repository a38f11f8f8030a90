// How values are written for a reader.

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const minute = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

export const asNumber = (value: number | null | undefined) => (value == null ? "–" : number.format(value));
export const asPercent = (value: number | null | undefined) =>
  value == null ? "–" : `${number.format(Math.round(value * 1000) / 10)} %`;
export const asDay = (value: string | null | undefined) => (value ? day.format(new Date(value)) : "–");
export const asTime = (value: string | null | undefined) => (value ? minute.format(new Date(value)) : "–");

const STEPS: [number, string][] = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [Infinity, "d"],
];

/** A length of time in its largest fitting unit, such as "3 h". */
export function asLength(milliseconds: number): string {
  let value = Math.abs(milliseconds) / 1000;
  for (const [most, unit] of STEPS) {
    if (value < most) return `${Math.floor(value)} ${unit}`;
    value /= most;
  }
  return "";
}

export const ago = (value: string, now: number) => `${asLength(now - Date.parse(value))} ago`;
export const fromNow = (value: string, now: number) =>
  Date.parse(value) <= now ? "now" : `in ${asLength(Date.parse(value) - now)}`;

export const asHours = (value: number | null | undefined) =>
  value == null ? "–" : value > 0 && value < 0.001 ? "< 0.001 h" : `${number.format(Math.round(value * 1000) / 1000)} h`;

const METRICS: Record<string, string> = {
  roc_auc: "ROC AUC",
  pr_auc: "PR AUC",
  log_loss: "Log loss",
  f1: "F1",
  macro_f1: "Macro F1",
  rmse: "RMSE",
  mae: "MAE",
  r2: "R²",
};
export const metricName = (name: string) =>
  METRICS[name] ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

export type Tone = "good" | "warn" | "bad" | "calm";

const TONES: Record<string, Tone> = {
  passed: "good",
  partly: "warn",
  refused: "bad",
  "no drift": "good",
  drift: "bad",
  "no decay": "good",
  decay: "bad",
  success: "good",
  failed: "bad",
  running: "calm",
  queued: "calm",
  promote: "good",
  keep: "calm",
  registered: "calm",
  barred: "bad",
  retired: "warn",
};
export const toneOf = (verdict: string | null | undefined): Tone => TONES[verdict ?? ""] ?? "calm";
