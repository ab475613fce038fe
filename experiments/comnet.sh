#!/usr/bin/env bash
# COMNet's tables: class activation with inter- and intra-matching, alpha, k and N, the random walk, and segmentation on its masks.
#   bash experiments/comnet.sh                                                        generated scenes, about 15 minutes on 2 cores
#   bash experiments/comnet.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
#   bash experiments/comnet.sh II V --data ROOT ...                                   some tables
# Further options: see --help. Interrupted, the same command goes on. The numbers go to experiments/results/PRESET/results.jsonl.
set -euo pipefail

script=comnet
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables comnet_tables.py "$@"
