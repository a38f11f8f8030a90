// Airflow keeps the reader's choice of light or dark in the storage that all its pages share.

const KEY = "theme";

function apply() {
  let chosen: string | null = null;
  try {
    chosen = window.localStorage.getItem(KEY);
  } catch {
    // No storage: the system's choice it is.
  }
  const dark =
    chosen === "dark" || (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  standOnTheSameGround();
}

/** In Airflow's frame the page has the ground of what is around it. */
function standOnTheSameGround() {
  if (window.parent === window) return;
  requestAnimationFrame(() => {
    try {
      const { backgroundColor } = window.getComputedStyle(window.parent.document.body);
      if (backgroundColor.startsWith("rgb(")) document.documentElement.style.setProperty("--ground", backgroundColor);
    } catch {
      // The page around is another site's: our own ground it is.
    }
  });
}

/** Look as Airflow looks, now and when that changes. */
export function followTheme() {
  apply();
  window.addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) apply();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
}

/** What the reader has chosen, for pages that are shown within ours. */
export const theme = () => document.documentElement.dataset.theme ?? "light";
