#!/usr/bin/env bash
# Set up, then run the tests: bash tests/run.sh [pytest arguments]. Works from any folder.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
bash "$root/experiments/setup.sh"
cd "$root"
exec "$root/.venv/bin/python" -m pytest tests -q "$@"
