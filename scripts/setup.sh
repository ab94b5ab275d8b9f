#!/bin/sh
# Make or refresh .venv with the locked packages and this project in editable form; quick when nothing changed.
set -eu
cd "$(dirname "$0")/.."
lock=requirements/dev.txt
stamp=.venv/.flywizard-setup
key="$(cat "$lock" pyproject.toml | cksum) $(pwd)"
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then exit 0; fi

python=${PYTHON:-python3}
if command -v uv >/dev/null 2>&1; then
    echo "setting up .venv with uv" >&2
    [ -x .venv/bin/python ] || uv venv --quiet --python '>=3.11' .venv
    uv pip install --quiet --python .venv/bin/python --require-hashes -r "$lock"
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
else
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "flywizard needs Python 3.11 or newer; \`$python\` is older or missing" >&2
        echo "hint: install it, or name one with \`make PYTHON=/path/to/python3 …\`" >&2
        exit 2
    fi
    echo "setting up .venv with $python and pip" >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
.venv/bin/python -m compileall -q src || true
printf '%s' "$key" > "$stamp"
