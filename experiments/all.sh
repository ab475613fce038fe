#!/usr/bin/env bash
# All tables and figures of CIAN, and the report: paper beside measured.
#   bash experiments/all.sh                                                        generated scenes, 16 minutes on 2 cores
#   bash experiments/all.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: those of experiments/tables.py --help. Every stage is trained once, whichever table needs it; interrupted, the
# same command goes on. The numbers go to experiments/results/PRESET/results.jsonl, the report with pictures and training curves
# to runs/report_PRESET/REPORT.html.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
preset=scenes dry_run=() words=("$@")
for i in "${!words[@]}"; do
    case "${words[i]}" in
        --data) [[ "$preset" != scenes ]] || preset=voc12 ;;
        --preset) preset="${words[i + 1]:-}" ;;
        --dry-run) dry_run=(--dry-run) ;;
        -h | --help) sed -n '2,7p' "${BASH_SOURCE[0]}" | cut -c3-; exit 0 ;;
    esac
done
bash "$root/experiments/table1.sh" --preset "$preset" "${dry_run[@]}"
[[ -z "${dry_run[*]}" ]] || bash "$root/experiments/setup.sh"
exec "$root/.venv/bin/python" "$root/experiments/tables.py" 2 3 4 5 figures report "$@"
