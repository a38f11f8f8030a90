# The steps' command line with the step `probe` and nothing else of the stack: small, and built in seconds.
FROM python:3.11-slim
RUN pip install --no-cache-dir --disable-pip-version-check PACKAGES
COPY include /noria/include
COPY probe_steps.py /noria/probe_steps.py
ENV PYTHONPATH=/noria PYTHONDONTWRITEBYTECODE=1
WORKDIR /noria
RUN python -m compileall -q /noria/include
USER 10001:10001
