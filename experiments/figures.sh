#!/usr/bin/env bash
# Figures 3 and 4 of CIAN: what a pixel looks at in its reference image, with a measure of how much of that is of its class and a
# page to explore it in a browser; masks of the baseline beside ours: the most improved, random ones, and the worst. The report of
# all.sh shows those of the scenes and keeps them in experiments/results/scenes/figures.
#   bash experiments/figures.sh                                                        generated scenes
#   bash experiments/figures.sh --preset animals|voc12 --data ROOT --init WEIGHTS      a data set in VOC layout with masks
# Further options: see --help. The trainings are those of Table 2, first seed; stages that are finished are taken from there.
set -euo pipefail

script=figures
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_tables tables.py figures "$@"
