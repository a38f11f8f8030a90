# The inference server. With a model inside it, see README.md: `python -m include.serving.package_image`.

FROM python:3.11-slim AS code
COPY include /image/noria/include
COPY expectations /image/noria/expectations
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /image /image/noria \
    && mkdir -m 1777 /image/scratch /image/store
ARG REVISION=unknown
RUN echo "${REVISION}" > /image/noria/REVISION

FROM python:3.11-slim
# The locks stay, to say what the image is made from. They come first: while they are the same, so are the packages.
COPY docker/install-packages.sh docker/installer.lock docker/serving.lock /opt/made-from/
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/root/.config/pip/pip.conf \
    --mount=type=secret,id=uv,target=/root/.config/uv/uv.toml \
    sh /opt/made-from/install-packages.sh /opt/made-from/serving.lock /opt/packages
# Any user id may run it on a read-only root. NORIA_HOME holds the request log and the last known state: give it a volume
# that outlives the container.
ENV PATH=/opt/packages/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/noria PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/scratch TMPDIR=/scratch USER=noria NORIA_HOME=/scratch/noria NORIA_STORE=/store \
    MLFLOW_DISABLE_TELEMETRY=true GX_ANALYTICS_ENABLED=false DO_NOT_TRACK=true OMP_WAIT_POLICY=PASSIVE
WORKDIR /noria
USER 10001:10001
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-S", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8090, timeout=4); c.request('GET', '/health/live'); exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "include.serving", "--host", "0.0.0.0", "--port", "8090", "--workers", "2"]
COPY --from=code /image/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="noria-serving" \
    org.opencontainers.image.description="Noria's inference server" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
