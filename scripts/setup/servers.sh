# etcd and MariaDB, from the distribution's packages.

ensure_etcd() {
  if on_path etcd; then
    have etcd "$(etcd --version | head -n 1)"
    return
  fi
  doing etcd "installing etcd-server"
  # The package would start a daemon of its own on ports 2379 and 2380, now and at each boot. There was none
  # before, so its unit is masked while the package installs, and then left disabled but usable.
  local unit=/etc/systemd/system/etcd.service masked=
  if [ -d /etc/systemd/system ] && [ ! -e "$unit" ] && [ ! -L "$unit" ]; then
    as_root ln -s /dev/null "$unit" && masked=1
  fi
  local installed=1
  apt_install etcd-server || installed=
  if [ -n "$masked" ]; then
    as_root rm -f "$unit"
    as_root rm -f /etc/systemd/system/multi-user.target.wants/etcd.service /etc/systemd/system/etcd2.service
    if [ -d /run/systemd/system ]; then as_root systemctl daemon-reload || true; fi
  fi
  if ! on_path update-rc.d; then :; elif [ -x /etc/init.d/etcd ]; then quietly as_root update-rc.d etcd disable || true; fi
  if [ -z "$installed" ] || ! on_path etcd; then die "etcd could not be installed"; fi
  have etcd "$(etcd --version | head -n 1)"
}

mysqld_version() { "$1" --no-defaults --version 2> /dev/null | sed -E 's/^.* Ver +([^ ]+).*/\1/'; }

ensure_mariadb() {
  if ! on_path mariadbd; then
    doing MariaDB "installing mariadb-server-core"
    apt_install mariadb-server-core || die "mariadb-server-core could not be installed"
  fi
  on_path mariadbd || die "mariadb-server-core is installed, but there is no mariadbd on PATH"
  have MariaDB "$(mysqld_version mariadbd)"
}

# For `up` one server is enough, and whichever is there already is the right one.
ensure_any_mysqld() {
  local name
  for name in mysqld mariadbd; do
    if on_path "$name"; then
      have "$name" "$(mysqld_version "$name")"
      return
    fi
  done
  if ! ensure_mysql; then
    missing MySQL "taking MariaDB instead"
    ensure_mariadb
  fi
}
