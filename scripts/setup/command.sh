# `clusterctl` on PATH: a link, where this user may make one. What belongs to somebody else stays as it is.

link_command() {
  local script=$ROOT/.venv/bin/clusterctl found directory link
  found=$(command -v clusterctl || true)
  if [ -n "$found" ] && [ "$(readlink -f "$found")" = "$(readlink -f "$script")" ]; then
    have clusterctl "$found"
    return
  fi
  for directory in /usr/local/bin "${HOME:-/nonexistent}/.local/bin"; do
    link=$directory/clusterctl
    case ":$PATH:" in *":$directory:"*) ;; *) continue ;; esac
    # Only a link whose clone is gone is replaced.
    if [ ! -w "$directory" ] || [ -e "$link" ]; then continue; fi
    case "$(readlink "$link" || echo /.venv/bin/clusterctl)" in */.venv/bin/clusterctl) ;; *) continue ;; esac
    if ln -sfn "$script" "$link" 2> /dev/null; then
      have clusterctl "$link, a link to .venv/bin/clusterctl"
      return
    fi
  done
  have clusterctl ".venv/bin/clusterctl (not on PATH; '. .venv/bin/activate' puts it there for this shell)"
}
