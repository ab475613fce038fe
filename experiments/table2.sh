#!/usr/bin/env bash
# Table 2 of CIAN: baseline, + CE, + CP and + RT, mIoU and IoU of every class with CRF, one result a seed.
#   bash experiments/table2.sh                                                        generated scenes
#   bash experiments/table2.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. Stages that another table's script has finished are taken from there; interrupted, the same command
# goes on. The numbers go to experiments/results/PRESET/results.jsonl, one line each.
set -euo pipefail

script=table2
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables tables.py 2 "$@"
