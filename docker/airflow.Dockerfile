# Airflow's services with the DAGs inside: `airflow api-server`, `scheduler`, `dag-processor`, `triggerer`. The steps run in
# pods of noria-steps. VARIANT=airflow-local adds the steps' packages, for machines without a cluster (compose.yaml).

FROM python:3.11-slim AS code
COPY dags /image/noria/dags
COPY plugins /image/noria/plugins
COPY include /image/noria/include
COPY expectations /image/noria/expectations
COPY airflow_settings.yaml /image/noria/
COPY --chmod=755 docker/entrypoint.sh /image/entrypoint
# An airflow.cfg that is there is not written anew, so that the root may be read-only.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /image /image/noria \
    && mkdir -p /image/opt/airflow && mkdir -m 1777 /image/scratch /image/store /image/opt/airflow/logs \
    && echo "# Everything is set by environment variables." > /image/opt/airflow/airflow.cfg
ARG REVISION=unknown
RUN echo "${REVISION}" > /image/noria/REVISION

FROM python:3.11-slim
ARG VARIANT=airflow
# The locks stay, to say what the image is made from. They come first: while they are the same, so are the packages.
COPY docker/install-packages.sh docker/installer.lock docker/${VARIANT}.lock /opt/made-from/
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    --mount=type=secret,id=uv,target=/root/.config/uv/uv.toml \
    sh /opt/made-from/install-packages.sh /opt/made-from/${VARIANT}.lock /opt/packages
# Any user id may run it on a read-only root: /scratch and /opt/airflow/logs are volumes.
ENV PATH=/opt/packages/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/noria PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/scratch TMPDIR=/scratch USER=noria NORIA_HOME=/scratch/noria NORIA_STORE=/store \
    AIRFLOW_HOME=/opt/airflow AIRFLOW__CORE__DAGS_FOLDER=/noria/dags AIRFLOW__CORE__PLUGINS_FOLDER=/noria/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    MLFLOW_DISABLE_TELEMETRY=true GX_ANALYTICS_ENABLED=false DO_NOT_TRACK=true OMP_WAIT_POLICY=PASSIVE
WORKDIR /noria
USER 10001:10001
EXPOSE 8080
# As it is, this asks the api-server; the other services ask by their own means (compose.yaml, the Helm chart).
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=5 \
    CMD ["python", "-S", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/api/v2/version'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["/entrypoint"]
CMD ["airflow", "api-server"]
COPY --from=code /image/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="noria-airflow" \
    org.opencontainers.image.description="Airflow with Noria's DAGs" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
