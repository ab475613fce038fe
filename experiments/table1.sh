#!/usr/bin/env bash
# Table 1 of CIAN: parameters and multiply-adds of the plain network, the baseline and ours, counted from their graphs, beside
# the published numbers. Takes seconds, needs no data.
#   bash experiments/table1.sh [--preset voc12|animals|scenes] [--results FOLDER] [--dry-run]
# ResNet-101 and ResNet-50, pre- and post-activation (v1b), at 321x321, and with another preset its backbone at its crop too.
# --dry-run only prints the commands.
# --data, --devices and --random-seeds are taken, because all tables take them, and not used: nothing is trained.
# The numbers go to FOLDER/results.jsonl, one line each; FOLDER is experiments/results/PRESET unless --results says otherwise.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
preset=voc12 results="" dry_run=no

fail() { printf 'table1: %s\n' "$*" >&2; exit 2; }

while (($#)); do
    option="$1"
    case "$option" in
        --dry-run) dry_run=yes; shift; continue ;;
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --preset | --results | --data | --devices | --random-seeds | --seeds) ;;
        *) fail "unknown option $option; see --help" ;;
    esac
    (($# > 1)) || fail "$option needs a value"
    [[ "$option" != --preset ]] || preset="$2"
    [[ "$option" != --results ]] || results="$(realpath -m -- "$2")"
    shift 2
done
case "$preset" in
    voc12) own=() ;;
    animals) own=(--backbones squeezenet1.1 --size 161) ;;
    scenes) own=(--backbones resnet10 --size 129) ;;
    *) fail "--preset $preset, expected voc12, animals or scenes" ;;
esac

: "${results:=experiments/results/$preset}"

run() { if [[ "$dry_run" = yes ]]; then printf '%s\n' "$*"; else "$@"; fi; }

cd "$root"
run bash experiments/setup.sh
run .venv/bin/python tools/benchmark.py complexity --backbones resnet101,resnet50,resnet101v1b,resnet50v1b --results "$results"
((${#own[@]} == 0)) || run .venv/bin/python tools/benchmark.py complexity "${own[@]}" --results "$results"
