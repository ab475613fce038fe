#!/usr/bin/env bash
# Set up, then run the tests: bash tests/run.sh [pytest arguments]. Works from any folder.
set -euo pipefail

if [[ "${1:-}" = @(-h|--help) ]]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
fi

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
bash "$root/experiments/setup.sh"
cd "$root"
exec "$root/.venv/bin/python" -m pytest tests -q "$@"
