#!/usr/bin/env bash
# The main job: from image tags to masks. Set-up, classifier, seeds, round one, pseudo labels, round two, a table and pictures.
#   bash experiments/quickstart.sh                                                    generated scenes, 4 to 10 minutes on 2 cores
#   bash experiments/quickstart.sh --data ROOT --preset animals|voc12                 a data set in VOC layout
# --init WEIGHTS: a file, or SOURCE:NAME of `cian weights list`; without it the preset's sources in their order (imagenet).
# Further options: --output FOLDER (default runs/quickstart_PRESET), --classes a,b,c (the mean is over these), --list LIST and
# --val-list LIST (names or text files; default train_aug and val), --tags FILE (cls_labels.npy or CSV), --cam-backbone NAME, --backbone NAME (default those of the preset),
# --cam-init WEIGHTS (default that of --init; voc12: imagenet), --devices LIST, --truth (also train on the true masks, for comparison).
# All that later stages need is checked first; of masks and tags that are not there it is said what cannot be measured.
# Stopped at any moment, the same command goes on where it was.
set -euo pipefail

script=quickstart
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset="" data="" init="" cam_init="" output="" classes="" list=train_aug val_list=val cam_backbone="" backbone="" devices="" truth=no tags=""
options="--preset|--data|--init|--cam-init|--output|--classes|--list|--val-list|--cam-backbone|--backbone|--devices|--tags"
read_options "$options" --truth "$@"
choose_preset
case "$preset" in
    scenes) : "${cam_init:=random}" ;;
    voc12) : "${init:=imagenet}" "${cam_init:=imagenet}" ;; # the classifier has another backbone
    *) : "${init:=imagenet}" ;;
esac
: "${cam_init:=$init}" "${output:=runs/quickstart_$preset}"

data="$(absolute "$data")" init="$(absolute "$init")" cam_init="$(absolute "$cam_init")" tags="$(absolute "$tags")"
list="$(listed "$list")" val_list="$(listed "$val_list")"
set_up
on_devices=() over_classes=() with_tags=()
given with_tags --tags "$tags"
given on_devices --devices "$devices"
given over_classes --classes "$classes"

find_data
starts=(--start "$cam_backbone=$cam_init")
[[ -z "$init" ]] || starts+=(--start "$backbone=$init")
[[ "$truth" = no ]] || starts+=(--needs train_masks)
check_inputs "${starts[@]}"

# score [option ...]: compare masks with the truth, where there is one
score() { tool evaluate --ground-truth "$masks" "${over_classes[@]}" "$@"; }

# round RUN LABELS INIT [option ...]: train, then predict and score the validation list
round() {
    local run="$1" seeds="$2" start="$3"; shift 3
    tool train --preset "$preset" --backbone "$backbone" --data "$data" --list "$list" --labels "$seeds" --init "$start" \
        --output "$output/$run" --resume "${on_devices[@]}" "${with_tags[@]}" "$@"
    tool predict --preset "$preset" --data "$data" --list "$val_list" --checkpoint "$(last "$output/$run")" \
        --output "$output/$run/val" "${on_devices[@]}"
    [[ "$val_masks" = yes ]] || return 0
    score --predictions "$output/$run/val/pred" --list "$(file "$val_list")" --json "$output/$run/val.json" >/dev/null
    score --predictions "$output/$run/val/pred_crf" --list "$(file "$val_list")" --json "$output/$run/val_crf.json"
}

stage "classifier, from tags"
measured=()
[[ "$val_tags" = no ]] || measured=(--val-list "$val_list")
tool train_cam --preset "$preset" --backbone "$cam_backbone" --data "$data" --list "$list" "${measured[@]}" --init "$cam_init" \
    --output "$output/cam" --resume "${on_devices[@]}" "${with_tags[@]}"
classifier="$(last "$output/cam")"
[[ "$preset" != scenes || -n "$init" ]] || init="$classifier" # no ImageNet weights: the classifier's own features

stage "seeds"
tool make_seeds --preset "$preset" --data "$data" --list "$list" --checkpoint "$classifier" \
    --output "$output/seeds" "${on_devices[@]}" "${with_tags[@]}"
[[ "$train_masks" = no ]] || score --ignore-unassigned --predictions "$output/seeds/seeds" --list "$(file "$list")" --json "$output/seeds.json"

stage "round one"
round round1 "$output/seeds/seeds" "$init"

stage "pseudo labels of the training list"
tool predict --preset "$preset" --data "$data" --list "$list" --checkpoint "$(last "$output/round1")" \
    --output "$output/round1/train" --fit labels --crf-iterations 10 "${on_devices[@]}"

stage "round two"
round round2 "$output/round1/train/pred_crf" "$(last "$output/round1")" --round 2

if [[ "$truth" = yes ]]; then
    stage "the same network on the true masks"
    round truth "$masks" "$init"
fi

stage "result"
if [[ "$val_masks" = no ]]; then
    printf '%s\n' "not measured, for want of masks; the masks of $val_list: $output/round2/val/pred_crf"
    exit
fi
sheet=()
if [[ "$val_tags" = yes ]]; then
    sheet=(--sheet-list "$output/sheet.txt")
    tool report --run "$output" --data "$data" --list "$val_list" --choose "$output/sheet.txt"
    tool make_seeds --preset "$preset" --data "$data" "${with_tags[@]}" --list "$output/sheet.txt" \
        --checkpoint "$classifier" --output "$output/sheet" "${on_devices[@]}" >/dev/null
fi
tool report --run "$output" --data "$data" "${sheet[@]}"
[[ "$val_tags" = yes ]] || exit 0
# a list may have too few pairs of images with a common class, which is no reason to fail at the end
if tool draw affinity --data "$data" --list "$val_list" --checkpoint "$(last "$output/round2")" --count 3 --html \
    --output "$output/affinity" "${on_devices[@]}" "${with_tags[@]}" >/dev/null; then
    printf '%s\n' "what pixels look at, to explore in a browser:" "$output"/affinity/affinity_*.html
fi
