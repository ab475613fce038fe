#!/usr/bin/env bash
# Table 3 of CIAN: groups with a common class against random ones, for + CE and + CP, with CRF, one result a seed.
#   bash experiments/table3.sh                                                        generated scenes
#   bash experiments/table3.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. Stages that another table's script has finished are taken from there; interrupted, the same command
# goes on. The numbers go to experiments/results/PRESET/results.jsonl, one line each.
set -euo pipefail

script=table3
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables tables.py 3 "$@"
