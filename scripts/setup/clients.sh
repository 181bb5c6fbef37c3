# What only the tests need: headers to build mysqlclient, node with mysql2, Go.

ensure_mysqlclient_build() {
  local wanted=()
  if python_is_new_enough .venv/bin/python && .venv/bin/python -c 'import MySQLdb' 2> /dev/null; then
    return
  fi
  on_path gcc || wanted+=(gcc libc6-dev)
  on_path pkg-config || wanted+=(pkg-config)
  on_path mysql_config || on_path mariadb_config || wanted+=(default-libmysqlclient-dev)
  local python
  python=$(find_python)
  if [ -z "$python" ]; then
    wanted+=(python3-dev)
  elif ! "$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then
    wanted+=("$("$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')")
  fi
  [ "${#wanted[@]}" = 0 ] && return
  doing build "installing ${wanted[*]} (mysqlclient is built from source)"
  apt_install "${wanted[@]}" || die "these could not be installed: ${wanted[*]}"
}

ensure_node_clients() {
  local home=tests/clients/node stamp wanted command="install --no-package-lock"
  [ -f "$home/package.json" ] || return 0
  if ! on_path node || ! on_path npm; then
    doing node "installing nodejs and npm"
    apt_install nodejs npm || die "nodejs and npm could not be installed"
  fi
  stamp=$home/node_modules/sluice.stamp
  wanted=$(cat "$home"/package*.json | sha256sum | cut -d ' ' -f 1)
  if ! grep -qxF "$wanted" "$stamp" 2> /dev/null; then
    doing node "installing the test clients mysql2 and @planetscale/database"
    if [ -f "$home/package-lock.json" ]; then command=ci; fi
    quietly npm --prefix "$home" $command --no-audit --no-fund --loglevel=error || die "npm could not install mysql2 and @planetscale/database"
    echo "$wanted" > "$stamp"
  fi
  have node "$(node --version), mysql2 and @planetscale/database in $home"
}

# Go from 1.18 on, for the tests of its driver. They are skipped where there is none.
ensure_go() {
  if ! on_path go; then
    doing Go "installing golang-go"
    apt_install golang-go || true
  fi
  if on_path go; then
    have Go "$(go env GOVERSION)"
  else
    missing Go "the tests of its driver will be skipped"
  fi
}
