#!/bin/sh
# Airflow's Helm chart calls /entrypoint before its commands; here everything is set by the image.
exec "$@"
