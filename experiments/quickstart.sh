#!/usr/bin/env bash
# The main job: from image tags to masks. Set-up, classifier, seeds, round one, pseudo labels, round two, a table and pictures.
#   bash experiments/quickstart.sh                                                    generated scenes, 10 minutes on 2 cores
#   bash experiments/quickstart.sh --data ROOT --preset animals|voc12                 a data set in VOC layout
# --init WEIGHTS: a file, or SOURCE:NAME of `cian weights list`; without it the preset's sources in their order (imagenet).
# Further options: --output FOLDER (default runs/quickstart_PRESET), --classes a,b,c (the mean is over these), --list NAME and
# --val-list NAME (default train_aug and val), --cam-backbone NAME, --backbone NAME (default those of the preset),
# --cam-init WEIGHTS (default that of --init; voc12: imagenet), --devices LIST, --truth (also train on the true masks, for comparison).
# Stopped at any moment, the same command goes on where it was.
set -euo pipefail

script=quickstart
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset="" data="" init="" cam_init="" output="" classes="" list=train_aug val_list=val cam_backbone="" backbone="" devices="" truth=no
options="--preset|--data|--init|--cam-init|--output|--classes|--list|--val-list|--cam-backbone|--backbone|--devices"
read_options "$options" --truth "$@"
choose_preset
case "$preset" in
    scenes) : "${cam_init:=random}" ;;
    voc12) : "${init:=imagenet}" "${cam_init:=imagenet}" ;; # the classifier has another backbone
    *) : "${init:=imagenet}" ;;
esac
: "${cam_init:=$init}" "${output:=runs/quickstart_$preset}"

data="$(absolute "$data")" init="$(absolute "$init")" cam_init="$(absolute "$cam_init")"
set_up
on_devices=() over_classes=()
given on_devices --devices "$devices"
given over_classes --classes "$classes"

find_data
mkdir -p "$output"

# train RUN SEEDS INIT [option ...]: train, then predict and score the validation list
round() {
    local run="$1" seeds="$2" start="$3"; shift 3
    tool train --preset "$preset" --backbone "$backbone" --data "$data" --list "$list" --seeds "$seeds" --init "$start" \
        --output "$output/$run" --resume "${on_devices[@]}" "$@"
    tool predict --preset "$preset" --data "$data" --list "$val_list" --checkpoint "$(last "$output/$run")" \
        --output "$output/$run/val" "${on_devices[@]}"
    tool evaluate --predictions "$output/$run/val/pred" --ground-truth "$masks" --list "$lists/$val_list.txt" \
        "${over_classes[@]}" --json "$output/$run/val.json" >/dev/null
    tool evaluate --predictions "$output/$run/val/pred_crf" --ground-truth "$masks" --list "$lists/$val_list.txt" \
        "${over_classes[@]}" --json "$output/$run/val_crf.json"
}

stage "classifier, from tags"
tool train_cam --preset "$preset" --backbone "$cam_backbone" --data "$data" --list "$list" --val-list "$val_list" --init "$cam_init" \
    --output "$output/cam" --resume "${on_devices[@]}"
classifier="$(last "$output/cam")"
[[ "$preset" != scenes || -n "$init" ]] || init="$classifier" # no ImageNet weights: the classifier's own features

stage "seeds"
tool make_seeds --preset "$preset" --data "$data" --list "$list" --checkpoint "$classifier" \
    --output "$output/seeds" "${on_devices[@]}"
tool evaluate --seeds --predictions "$output/seeds/seeds" --ground-truth "$masks" --list "$lists/$list.txt" \
    "${over_classes[@]}" --json "$output/seeds.json"

stage "round one"
round round1 "$output/seeds/seeds" "$init"

stage "pseudo labels of the training list"
tool predict --preset "$preset" --data "$data" --list "$list" --checkpoint "$(last "$output/round1")" \
    --output "$output/round1/train" --fit warp --crf-iterations 10 "${on_devices[@]}"

stage "round two"
round round2 "$output/round1/train/pred_crf" "$(last "$output/round1")" --round 2

if [[ "$truth" = yes ]]; then
    stage "the same network on the true masks"
    round truth "$masks" "$init"
fi

stage "result"
count="$(wc -l <"$lists/$val_list.txt")"
awk -v step="$((count / 16 * 2 + 1))" 'NR % step == 1 || step == 1' "$lists/$val_list.txt" | head -n 8 >"$output/sheet.txt"
tool make_seeds --preset "$preset" --data "$data" --list "$output/sheet.txt" --checkpoint "$classifier" \
    --output "$output/sheet" "${on_devices[@]}" >/dev/null
tool report --run "$output" --data "$data" --sheet-list "$output/sheet.txt"
