# MySQL, unpacked into .servers/ beside whatever the system has, with its own C library. Nothing is installed.
#
# Debian has MySQL only in `sid`, Ubuntu has it in each release; in both its package conflicts with
# MariaDB's. So apt fetches it with sources, state and cache folders of its own, verifies signatures as ever,
# and dpkg unpacks it. .servers/bin/mysqld then acts as an ordinary mysqld.

MYSQLD=.servers/bin/mysqld

ensure_mysql() {
  if mysql_runs; then
    have MySQL "$(mysqld_version "$MYSQLD") in .servers/"
    return
  fi
  on_path apt-get && on_path dpkg || return 1
  local line keyring uri suite components package tried=
  while IFS='|' read -r uri suite components package keyring; do
    [ -r "$keyring" ] || continue
    tried=1
    doing MySQL "fetching $package of $suite from $uri, about 60 MB"
    if unpack_mysql "deb [signed-by=$keyring] $uri $suite $components" "$package"; then
      rm -rf .servers/fetch
      have MySQL "$(mysqld_version "$MYSQLD") in .servers/"
      return
    fi
    rm -rf .servers/fetch .servers/unpacked
  done < <(mysql_sources)
  [ -n "$tried" ] || missing MySQL "no package source for it whose signatures this machine can verify"
  return 1
}

mysql_runs() {
  [ -x "$MYSQLD" ] && "$MYSQLD" --no-defaults --version > /dev/null 2>&1
}

# Where MySQL may come from, best first: uri|suite|components|package|keyring.
mysql_sources() {
  local id keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri suite package
  id=$(. /etc/os-release && echo "$ID")
  if [ "$id" = ubuntu ]; then
    package=$(apt-cache search --names-only '^mysql-server-core-[0-9.]+$' | sort -V | tail -n 1 | cut -d ' ' -f 1)
    machine_sources Ubuntu | while IFS='|' read -r uri suite; do
      case "$suite" in
        *-*) ;; # -updates and -security alone do not hold all its dependencies
        *) [ -z "$package" ] || echo "$uri|$suite|main universe|$package|/usr/share/keyrings/ubuntu-archive-keyring.gpg" ;;
      esac
    done
  fi
  if [ ! -r "$keyring" ]; then apt_install debian-archive-keyring > /dev/null || true; fi
  {
    [ "$id" != debian ] || machine_sources Debian | cut -d '|' -f 1 | grep -v security || true
    echo http://deb.debian.org/debian
  } | sed 's#/*$##' | awk '!seen[$0]++' | while read -r uri; do
    echo "$uri|sid|main|mysql-server-core|$keyring"
  done
}

# The machine's own mirrors of one origin: uri|suite.
machine_sources() {
  apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
    awk -F '|' -v origin="$1" '$1 == origin && $4 == "main" && !seen[$2 $3]++ { print $2 "|" $3 }'
}

# unpack_mysql SOURCE PACKAGE. Leaves nothing behind unless the unpacked server really runs.
unpack_mysql() {
  local fetch=$ROOT/.servers/fetch unpacked=$ROOT/.servers/unpacked deb apt version
  rm -rf "$fetch" "$unpacked"
  mkdir -p "$fetch"/{state/lists/partial,cache/archives/partial,empty} "$unpacked"
  echo "$1" > "$fetch/sources.list"
  : > "$fetch/state/status"
  apt=(apt-get -q -y
    -o "Dir::Etc::SourceList=$fetch/sources.list" -o "Dir::Etc::SourceParts=$fetch/empty"
    -o "Dir::Etc::Preferences=/dev/null" -o "Dir::Etc::PreferencesParts=$fetch/empty"
    -o "Dir::State=$fetch/state" -o "Dir::State::status=$fetch/state/status" -o "Dir::Cache=$fetch/cache"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= -o APT::Get::AllowUnauthenticated=false
    # a mirror may lag behind its own dates; signatures are checked all the same
    -o Acquire::Check-Valid-Until=false
    -o Acquire::Languages=none -o Acquire::Retries=3 -o Binary::apt-get::APT::Keep-Downloaded-Packages=true
    -o APT::Keep-Downloaded-Packages=true)
  quietly "${apt[@]}" update || return 1
  quietly "${apt[@]}" install --download-only --no-install-recommends "$2" || return 1
  for deb in "$fetch"/cache/archives/*.deb; do
    quietly dpkg -x "$deb" "$unpacked" || return 1
  done
  rm -rf "$unpacked"/usr/share/{doc,man,locale,info,perl,perl5,lintian} "$unpacked"/var
  version=$(write_mysqld_wrapper unpacked "$fetch/mysqld" && mysqld_version "$fetch/mysqld" | cut -d . -f 1,2)
  [ -n "$version" ] || { missing MySQL "the unpacked server does not run here"; return 1; }
  rm -rf ".servers/mysql-$version"
  mv "$unpacked" ".servers/mysql-$version"
  mkdir -p .servers/bin
  write_mysqld_wrapper "mysql-$version" "$MYSQLD.new"
  mv "$MYSQLD.new" "$MYSQLD"
}

# write_mysqld_wrapper NAME FILE: FILE runs the mysqld unpacked in .servers/NAME. --no-defaults and its like
# must stay the first argument; options of the caller come last and so win.
write_mysqld_wrapper() {
  local loader libs root=.servers/$1
  loader=$(cd "$root" && find usr/lib lib -name 'ld-linux*.so.*' -print -quit 2> /dev/null)
  [ -n "$loader" ] && [ -x "$root/usr/sbin/mysqld" ] || return 1
  libs=$(dirname "$loader")
  cat > "$2" << WRAPPER
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")/$1
first=
case "\${1:-}" in
  --no-defaults | --print-defaults | --defaults-file=* | --defaults-extra-file=*)
    first=\$1
    shift
    ;;
esac
exec "\$root/$loader" --library-path "\$root/$libs:\$root/usr/lib/mysql/private" "\$root/usr/sbin/mysqld" \\
  \${first:+"\$first"} --basedir="\$root/usr" --lc-messages-dir="\$root/usr/share/mysql" \\
  --character-sets-dir="\$root/usr/share/mysql/charsets" --plugin-dir="\$root/usr/lib/mysql/plugin" "\$@"
WRAPPER
  chmod 755 "$2"
}
