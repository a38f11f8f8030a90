#!/bin/sh
# install-packages.sh LOCK FOLDER: a virtual environment in FOLDER with exactly what LOCK names, each file held against its
# hash, as wheels only (so no compiler; PySpark, which comes as a source archive of Python, is made one), without what no running program reads, and compiled, since the images are
# read-only. Runs while an image is built; where packages come from is pip's and uv's own configuration.
set -eu
lock=$1
folder=$2

tools=$(mktemp -d)
uv=$tools/bin/uv
export UV_LINK_MODE=copy UV_SYSTEM_CERTS=1 UV_PYTHON_DOWNLOADS=never
pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --require-hashes \
    --target "$tools" -r "$(dirname "$0")/installer.lock"
"$uv" venv --quiet --python /usr/local/bin/python3 "$folder"
"$uv" pip install --quiet --python "$folder/bin/python" --no-deps --require-hashes --only-binary :all: \
    --no-binary pyspark --build-constraint "$(dirname "$0")/installer.lock" -r "$lock"
rm -rf "$tools"

cd "$folder"/lib/python3.*/site-packages
for package in numpy pandas scipy sklearn pyarrow matplotlib; do
    test ! -d $package || find $package -type d -name tests -prune -exec rm -rf {} +
done
# Not libarrow_substrait: pyarrow itself is linked with it.
rm -rf pyarrow/include pyarrow/src pyarrow/libarrow_flight* pyarrow/libarrow_python_flight* pyarrow/_flight*

# Compiled files are taken as they are: another layer, or a copy, may change the times of their sources. The standard
# library of python:3.11-slim is not compiled either. Some files are for other Pythons, so a failure is none of ours.
standard=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
"$folder/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|lib2to3)/' \
    . "$standard" || true
