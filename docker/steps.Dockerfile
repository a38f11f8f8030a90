# The steps: `python -m include.steps <step> …`, as a pod runs it; MLflow's server too (`mlflow server`). No Airflow.
# VARIANT=steps-gpu adds what XGBoost loads to train on NVIDIA's GPUs; VARIANT=steps-spark adds Apache Spark and Java.

FROM python:3.11-slim AS code
COPY include /image/noria/include
COPY expectations /image/noria/expectations
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /image /image/noria \
    && mkdir -m 1777 /image/scratch /image/store \
    && mkdir /image/etc && cp /etc/passwd /image/etc && echo noria:x:10001:10001::/scratch:/bin/false >> /image/etc/passwd
ARG REVISION=unknown
RUN echo "${REVISION}" > /image/noria/REVISION

FROM python:3.11-slim
ARG VARIANT=steps
# The locks stay, to say what the image is made from. They come first: while they are the same, so are the packages.
COPY docker/install-packages.sh docker/installer.lock docker/${VARIANT}.lock /opt/made-from/
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    --mount=type=secret,id=uv,target=/root/.config/uv/uv.toml \
    sh /opt/made-from/install-packages.sh /opt/made-from/${VARIANT}.lock /opt/packages
# Any user id may run it on a read-only root: all that is written goes to /scratch (a volume), results to $NORIA_RESULT.
ENV PATH=/opt/packages/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/noria PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/scratch TMPDIR=/scratch USER=noria NORIA_HOME=/scratch/noria NORIA_STORE=/store \
    MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false GX_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=true OMP_WAIT_POLICY=PASSIVE NORIA_SPARK_MASTER=kubernetes
WORKDIR /noria
USER 10001:10001
# A step ends by itself and says how by its exit code: there is nothing to ask it.
HEALTHCHECK NONE
CMD ["python", "-m", "include.steps", "--list"]
COPY --from=code /image/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="noria-steps" \
    org.opencontainers.image.description="One step of a model's life, as a pod runs it" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
