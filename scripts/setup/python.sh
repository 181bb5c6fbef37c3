# The Python environment in .venv: made once, filled again only when pyproject.toml changed.

python_is_new_enough() {
  on_path "$1" && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

find_python() {
  local candidate
  for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
    if python_is_new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
}

make_venv() {
  local python series
  python=$(find_python)
  if [ -z "$python" ] && ! on_path python3; then
    doing python "installing python3"
    apt_install python3 || die "python3 could not be installed"
    python=$(find_python)
  fi
  [ -n "$python" ] || die "Python 3.11 or later is needed; this machine has $(python3 --version 2>&1)"
  if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    # Debian splits ensurepip off into a package a series.
    series=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    doing python "installing $series-venv"
    apt_install "$series-venv" || apt_install python3-venv || die "$python has no ensurepip, and $series-venv could not be installed"
  fi
  rm -rf .venv
  "$python" -m venv .venv || die "$python -m venv .venv failed"
}

# ensure_python EXTRA: EXTRA is "" or "dev". An environment with dev serves for "" as well.
ensure_python() {
  local extra=$1 stamp=.venv/sluice.stamp wanted before_s=$SECONDS
  if ! python_is_new_enough .venv/bin/python; then
    make_venv
  fi
  wanted=$(sha256sum pyproject.toml | cut -d ' ' -f 1)
  if [ -x .venv/bin/clusterctl ] && grep -qxF -e "$wanted $ROOT dev" -e "$wanted $ROOT $extra" "$stamp" 2> /dev/null; then
    have python "$(.venv/bin/python --version 2>&1), .venv is up to date"
    return
  fi
  doing python "filling .venv (${extra:-run-time} dependencies)"
  rm -f "$stamp"
  quietly .venv/bin/python -m pip install --disable-pip-version-check -e ".${extra:+[$extra]}" ||
    die "pip could not install the dependencies (see above)"
  echo "$wanted $ROOT $extra" > "$stamp"
  have python "$(.venv/bin/python --version 2>&1), dependencies installed in $((SECONDS - before_s)) s"
}
