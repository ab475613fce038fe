#!/usr/bin/env bash
# Make .venv in the repository with pinned dependencies and this package; nothing to do (well under a second) when it is
# current. Called by all scripts of experiments and by tests/run.sh; then use .venv/bin/python.
#   PYTHON=/path/to/python3   the interpreter to use (3.8 to 3.12), otherwise the first suitable one on PATH
#   CIAN_SET=cpu|gpu          overrules the choice between requirements-cpu.txt and requirements.txt
#   CIAN_SET=system           takes the MXNet 1.9.1 that the interpreter has (NVIDIA's container, an own build) and leaves it as it
#                             is; all else is installed beside it, in .venv
#   bash experiments/setup.sh [--help]
set -euo pipefail

case "${1:-}" in
    "") ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'setup: unknown option %s; see --help\n' "$1" >&2; exit 2 ;;
esac

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"
cd "$root"
unset PYTHONPATH PYTHONHOME # what they hold would count as installed
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0

say() { printf 'setup: %s\n' "$*" >&2; }

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true; }

suitable() { [[ "$(version_of "$1")" =~ ^3\.(8|9|10|11|12)\. ]]; }

# Set `python` to the interpreter: $PYTHON, else that of a .venv already made, else the first suitable one on PATH.
find_python() {
    local candidate found="" own="$venv/bin/python"
    [[ "${CIAN_SET:-}" != system ]] || own=python3 # the one of .venv may have an MXNet of its own
    if [[ -n "${PYTHON:-}" ]]; then
        suitable "$PYTHON" && python="$PYTHON" && return
        found="$(version_of "$PYTHON")"
        say "PYTHON=$PYTHON is ${found:-not a Python that runs}; Python 3.8 to 3.12 is needed: set PYTHON to one"
        exit 1
    fi
    for candidate in "$own" python3 python3.11 python3.10 python3.12 python3.9 python3.8; do
        suitable "$candidate" && python="$candidate" && return
        [[ "$candidate" != python3 ]] || found="$(version_of python3)"
    done
    say "Python 3.8 to 3.12 is needed, python3 is ${found:-not there}: install one" \
        "(\`sudo apt-get install python3.11 python3.11-venv python3.11-dev\`, or \`pyenv install 3.11\`)" \
        "or name one: \`PYTHON=/path/to/python3.11 bash experiments/quickstart.sh\`"
    exit 1
}

# Copy pip's output to the log and show where it is: in one changing line on a terminal, else a line for each stage.
show_progress() {
    local line text count=0 total
    total="$(grep -c '^[A-Za-z]' "$requirements")"
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        text=""
        case "$line" in
            Collecting* | Processing*) count=$((count + 1)) && text="fetching ($count of about $total) ${line#* }" ;;
            *Downloading*MB*) text="fetching ($count of about $total) ${line##*/}" ;;
            "Building wheel"*started | "Building editable"*started | "Installing collected"*) text="${line:0:60}" ;;
        esac
        [[ -n "$text" ]] || continue
        if [[ -t 2 ]]; then
            printf '\r\033[Ksetup: %s' "${text:0:90}" >&2
        elif [[ "$text" != fetching* ]]; then
            say "$text"
        fi
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

find_python
if command -v flock >/dev/null; then # two scripts started together: the second waits, then finds all done
    exec 9<"$root"
    flock 9
fi
answer="$("$python" experiments/check_machine.py)" || exit 1
read -r state requirements stamp <<<"$answer"
[[ "$state" != ready ]] || exit 0

log="$venv/install.log"
# The path is relative because pip splits these variables at spaces. They hold for what pip builds with, too.
export PIP_CONSTRAINT="$requirements" PIP_BUILD_CONSTRAINT="$requirements"

# Run pip in .venv with progress and log; on an error show its errors.
run_pip() {
    if ! "$venv/bin/python" -m pip install --no-input --progress-bar off --no-warn-script-location "$@" 2>&1 9<&- |
        show_progress; then
        say "pip failed; its errors, and all it said in $log:"
        grep -iE 'error|no space|fatal' "$log" | tail -n 8 >&2 || tail -n 8 "$log" >&2
        exit 1
    fi
}

if [[ "$state" == build ]]; then
    rm "$venv/cian-stamp"
    say "the package's compiled part has changed: building it again"
    : >"$log"
    run_pip --no-deps -e .
else
    if [[ -e "$venv" && ! -e "$venv/cian-venv" ]]; then
        say "$venv was not made by this script; remove or rename it: \`mv \"$venv\" \"$venv.old\"\`"
        exit 1
    fi
    given="$python"
    python="$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')" # not the .venv that is now remade
    say "installing $requirements into $venv (a few minutes)"
    mkdir -p "$venv"
    : >"$venv/cian-venv"
    if [[ "${CIAN_SET:-}" = system ]]; then
        packages="$(cd /tmp && env -u DMLC_ROLE "$given" -c 'import os, mxnet; print(os.path.dirname(os.path.dirname(mxnet.__file__)))')"
        "$python" -m venv --clear --system-site-packages "$venv"
        : >"$venv/cian-venv"
        : >"$log"
        grep -v '^mxnet' "$requirements" >"$venv/requirements.txt"
        run_pip -r "$venv/requirements.txt" -e .
        if ! "$venv/bin/python" -c 'import mxnet' >>"$log" 2>&1; then # that of another environment
            printf '%s\n' "$packages" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/mxnet.pth"
        fi
    else
        "$python" -m venv --clear "$venv"
        : >"$venv/cian-venv"
        : >"$log"
        run_pip -r "$requirements" -e . # one step for all, so that nothing may change a pinned version
    fi
fi
if ! "$venv/bin/python" -c 'from cian.base.runtime import mx' >>"$log" 2>&1; then
    say "installed, but MXNet cannot be imported; log in $log:"
    tail -n 3 "$log" >&2
    exit 1
fi
printf '%s\n' "$stamp" >"$venv/cian-stamp.part"
mv "$venv/cian-stamp.part" "$venv/cian-stamp"
say "done; \`.venv/bin/python tools/doctor.py\` tells what is there"
