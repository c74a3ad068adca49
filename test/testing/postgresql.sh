#!/bin/sh
# A PostgreSQL for tests: postgresql.sh FOLDER [POSTGRES-OPTION...]
# Makes a cluster in FOLDER/data, if there is none, and serves it in the
# foreground on the socket in FOLDER, to anybody who may enter the folder, until
# it gets SIGINT or its parent dies. Its superuser and database are "postgres".
# PostgreSQL does not run as root: root's gives the folder to another user.
set -eu
folder=$1
shift
bin=$(find /usr/lib/postgresql /usr/pgsql-* /opt/homebrew/opt -maxdepth 3 -name initdb 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(command -v initdb) || { echo "PostgreSQL is not installed (Debian: apt-get install postgresql)" >&2; exit 69; }
bin=$(dirname "$bin")
user=
if [ "$(id -u)" -eq 0 ]; then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  chown "$user" "$folder"
fi
as() {
  if [ -n "$user" ]; then
    group=$(id -g "$user")
    set -- setpriv --reuid "$user" --regid "$group" --clear-groups --pdeathsig INT -- "$@"
  else
    set -- setpriv --pdeathsig INT -- "$@"
  fi
  cd "$folder"
  exec "$@"
}
if [ ! -d "$folder/data" ]; then
  (as "$bin/initdb" -D "$folder/data" -A trust -E UTF8 --locale=C.UTF-8 -U postgres --no-sync) >"$folder/initdb.log" 2>&1 || {
    cat "$folder/initdb.log" >&2
    exit 70
  }
fi
as "$bin/postgres" -D "$folder/data" -c listen_addresses= -c unix_socket_directories="$folder" \
  -c shared_buffers=32MB -c max_connections=60 -c timezone=UTC "$@"
