#!/usr/bin/env bash
# All tables and figures of CIAN, and the report: paper beside measured.
#   bash experiments/all.sh                                                        generated scenes, 16 minutes on 2 cores
#   bash experiments/all.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. Every stage is trained once, whichever table needs it; interrupted, the
# same command goes on. The numbers go to experiments/results/PRESET/results.jsonl, the report with pictures and training curves
# to runs/report_PRESET/REPORT.html.
set -euo pipefail

script=all
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset=scenes first=() words=("$@")
for i in "${!words[@]}"; do
    case "${words[i]}" in
        --data) [[ "$preset" != scenes ]] || preset=voc12 ;;
        --preset) preset="${words[i + 1]:-}" ;;
        --results) first+=(--results "${words[i + 1]:-}") ;;
        --dry-run) first+=(--dry-run) ;;
        -h | --help) show_help "$0"; table_options; exit 0 ;;
    esac
done
bash "$root/experiments/table1.sh" --preset "$preset" "${first[@]}"
[[ " ${first[*]} " != *" --dry-run "* ]] || bash "$root/experiments/setup.sh"
exec "$root/.venv/bin/python" "$root/experiments/tables.py" 2 3 4 5 figures report "$@"
