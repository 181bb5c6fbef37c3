#!/usr/bin/env bash
# Sets up what Sluice needs on Debian or Ubuntu. Idempotent, and quick when everything is there.
#
#   scripts/setup.sh up     python environment, one MySQL or MariaDB, etcd      (what `make up` needs)
#   scripts/setup.sh test   both MySQL and MariaDB, etcd, node with mysql2 and @planetscale/database, development tools (`make test`)
#   scripts/setup.sh clients   as test, and Go for its driver's own tests (`make test-clients`)
#
# Needs root or sudo only where a Debian package is missing. Never starts or stops a daemon of the system,
# and never touches a server that was there before. What is unpacked rather than installed lies in .servers/.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
ROOT=$PWD
export DEBIAN_FRONTEND=noninteractive
. scripts/setup/common.sh
. scripts/setup/python.sh
. scripts/setup/command.sh
. scripts/setup/servers.sh
. scripts/setup/mysql.sh
. scripts/setup/clients.sh

mode=${1:-}
case "$mode" in
  up | test | clients) ;;
  *)
    echo "usage: scripts/setup.sh up|test|clients" >&2
    exit 2
    ;;
esac

# Two set-ups at once (two terminals, two CI jobs in one clone) take turns.
mkdir -p .servers
exec 9> .servers/setup.lock
flock 9

case "$mode" in
  up)
    ensure_etcd
    ensure_any_mysqld
    ensure_python ""
    link_command
    ;;
  test | clients)
    ensure_etcd
    ensure_mariadb
    ensure_mysql || missing "MySQL" "tests of the flavour mysql will fail; SLUICE_FLAVOURS=mariadb leaves them out"
    ensure_mysqlclient_build
    ensure_python dev
    ensure_node_clients
    [ "$mode" = test ] || ensure_go
    ;;
esac
