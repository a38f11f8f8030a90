import { StrictMode, Suspense, lazy } from "react";
import { createRoot } from "react-dom/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { MODEL, Failed } from "./airflow";
import { ListPage } from "./ListPage";
import { Loading } from "./parts";
import { followTheme } from "./theme";
import "./style.css";

const ModelPage = lazy(() => import("./ModelPage"));
const client = new QueryClient({
  defaultOptions: {
    queries: {
      refetchInterval: 30_000,
      retry: (times, error) => times < 2 && !(error instanceof Failed && error.status >= 400 && error.status < 500),
    },
  },
});

followTheme();
document.title = MODEL ? `${MODEL} · Models` : "Models";
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <main>
        {MODEL ? (
          <Suspense fallback={<Loading what={MODEL} />}>
            <ModelPage model={MODEL} />
          </Suspense>
        ) : (
          <ListPage />
        )}
      </main>
    </QueryClientProvider>
  </StrictMode>,
);
