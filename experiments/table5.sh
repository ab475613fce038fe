#!/usr/bin/env bash
# Table 5 of CIAN: val after the second round with CRF, each backbone, and the archive for the test server where there is a test list.
#   bash experiments/table5.sh                                                        generated scenes
#   bash experiments/table5.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. Stages that another table's script has finished are taken from there; interrupted, the same command
# goes on. The numbers go to experiments/results/PRESET/results.jsonl, one line each.
set -euo pipefail

script=table5
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables tables.py 5 "$@"
