#!/usr/bin/env bash
# Set up, then run the tests, one process a processor: bash tests/run.sh [pytest arguments]. Works from any folder.
# -n 0 runs them in one process, whose threads are all processors unless OMP_NUM_THREADS says otherwise.
set -euo pipefail

if [[ "${1:-}" = @(-h|--help) ]]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
fi

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
bash "$root/experiments/setup.sh"
cd "$root"
unset PYTHONDONTWRITEBYTECODE # else each of the hundreds of processes that the tests start compiles all sources anew
what=(tests)
for word in "$@"; do
    [[ ! -e "${word%%::*}" ]] || what=() # tests are named
done
exec "$root/.venv/bin/python" -m pytest "${what[@]}" -q -n auto --dist loadfile "$@"
