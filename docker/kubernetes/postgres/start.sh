#!/bin/sh
# Makes the database cluster in $PGDATA if there is none, as the official image does, then becomes the server.
set -eu
: "${PGDATA:?}" "${POSTGRES_PASSWORD_FILE:?}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  making=$PGDATA.making   # a pod that is killed here begins anew
  rm -rf "$making"
  # shellcheck disable=SC2086
  initdb --pgdata="$making" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --encoding=UTF8 \
    --locale=C.UTF-8 ${POSTGRES_INITDB_ARGS:-} >/dev/null
  echo "host all all all scram-sha-256" >>"$making/pg_hba.conf"
  pg_ctl --pgdata="$making" --wait --silent --options="-c listen_addresses=''" start
  for file in /docker-entrypoint-initdb.d/*.sh; do
    if [ -e "$file" ]; then . "$file"; fi
  done
  pg_ctl --pgdata="$making" --wait --silent --mode=fast stop
  mv "$making" "$PGDATA"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*'
