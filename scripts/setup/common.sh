# What every part of the set-up uses: lines for the reader, root rights, apt. Sourced by setup.sh.

# One line a component, in one layout: what, and what was found or done.
have() { printf '  %-10s %s\n' "$1" "$2"; }
doing() { printf '  %-10s %s ...\n' "$1" "$2"; }
missing() { printf '  %-10s not available: %s\n' "$1" "$2" >&2; }
die() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

# Daemons such as mariadbd lie in /usr/sbin, which is not on every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
on_path() { command -v "$1" > /dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif on_path sudo; then
    # Without a terminal nobody can type a password: fail at once instead of waiting for one.
    if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
  else
    die "installing packages needs root: run as root, or install sudo"
  fi
}

# Runs a noisy command quietly; its output is shown only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if "$@" > "$log" 2>&1 < /dev/null 9>&-; then
    rm -f "$log"
  else
    local status=$?
    tail -n 25 "$log" >&2
    rm -f "$log"
    return $status
  fi
}

apt_index_is_fresh=
apt_install() {
  on_path apt-get || die "no apt-get here: Sluice sets itself up on Debian and Ubuntu; elsewhere install $* yourself"
  if [ -z "$apt_index_is_fresh" ]; then
    # A source of somebody else's may be broken; what we need may be there all the same.
    quietly as_root apt-get -q update || echo "  apt        some package lists could not be refreshed; trying with those there are" >&2
    apt_index_is_fresh=1
  fi
  # RUNLEVEL=1: where init scripts are used, a package's daemon is not started upon installation.
  quietly as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}
