#!/usr/bin/env bash
# Table 4 of CIAN: seeds with 0, 5 and 10 % of ground truth, baseline and ours, with and without CRF, each backbone, one result a seed.
#   bash experiments/table4.sh                                                        generated scenes
#   bash experiments/table4.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. Stages that another table's script has finished are taken from there; interrupted, the same command
# goes on. The numbers go to experiments/results/PRESET/results.jsonl, one line each.
set -euo pipefail

script=table4
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables tables.py 4 "$@"
