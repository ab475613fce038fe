#!/usr/bin/env bash
# Seeds and how good they are: set-up, classifier from tags, seeds of the training and the validation list, tables of precision,
# recall and coverage, curves of CAM mIoU over thresholds, and sheets of pictures.
#   bash experiments/seeds.sh                                                      generated scenes, a few minutes on 2 cores
#   bash experiments/seeds.sh --data ROOT --init WEIGHTS --preset animals|voc12    a data set in VOC layout with masks
# Further options: --output FOLDER (default runs/seeds_PRESET), --backbone NAME (default that of the preset), --classes a,b,c
# (the mean is over these), --list LIST and --val-list LIST (names in ImageSets/Segmentation or text files; default train_aug
# and val), --tags FILE, --saliency-maps FOLDER, --epochs N, --devices LIST, --substitute SHARE (for so many of the training
# images the seed is the ground truth). Without --init: the preset's sources in their order.
# Stopped at any moment, the same command goes on where it was.
set -euo pipefail

script=seeds
# shellcheck source=experiments/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset="" data="" init="" output="" classes="" list=train_aug val_list=val backbone="" devices=""
tags="" saliency_maps="" epochs="" substitute=""
options="--preset|--data|--init|--output|--classes|--list|--val-list|--backbone|--devices"
options+="|--tags|--saliency-maps|--epochs|--substitute"
read_options "$options" "" "$@"
cam_backbone="$backbone" # the classifier is the only network here
choose_preset
[[ "$preset" != scenes ]] || : "${init:=random}"
: "${init:=imagenet}" "${output:=$root/runs/seeds_$preset}"

data="$(absolute "$data")" output="$(absolute "$output")" init="$(absolute "$init")" tags="$(absolute "$tags")"
saliency_maps="$(absolute "$saliency_maps")"
list="$(listed "$list")" val_list="$(listed "$val_list")"
set_up
on_devices=() over_classes=() with_tags=() with_maps=() for_epochs=() replaced=()
given on_devices --devices "$devices"
given over_classes --classes "$classes"
given with_tags --tags "$tags"
given with_maps --saliency-maps "$saliency_maps"
given for_epochs --epochs "$epochs"
given replaced --substitute "$substitute"

find_data
[[ -d "$masks" ]] || fail "$data has neither SegmentationClassAug nor SegmentationClass, and the seeds are compared with masks"
check_inputs --start "$cam_backbone=$init" --needs train_masks --needs val_masks "${with_maps[@]}"
[[ "$val_tags" = yes ]] || fail "--val-list $val_list: seeds are made of its images, which needs their tags"

# quality NAME LIST [option ...]: seeds, scores, curve and sheets of a list in OUTPUT/NAME
quality() {
    local folder="$output/$1" ids="$2"; shift 2
    tool make_seeds --preset "$preset" --data "$data" --list "$ids" --checkpoint "$classifier" \
        --output "$folder" "${on_devices[@]}" "${with_tags[@]}" "${with_maps[@]}" "$@"
    tool evaluate --ignore-unassigned --predictions "$folder/seeds" --ground-truth "$masks" --list "$(file "$ids")" \
        "${over_classes[@]}" --json "$folder/quality.json" | tee "$folder/quality.txt"
    tool evaluate --cams "$folder/cam" --ground-truth "$masks" --list "$(file "$ids")" "${over_classes[@]}" \
        --curve "$folder/curve" --mark 0.3 --json "$folder/curve.json" | tee "$folder/curve.txt"
    tool report --seeds-folder "$folder" --data "$data" --list "$ids" "${with_maps[@]}"
}

stage "classifier, from tags"
tool train_cam --preset "$preset" --backbone "$cam_backbone" --data "$data" --list "$list" --val-list "$val_list" --init "$init" \
    --output "$output/cam" --resume "${on_devices[@]}" "${with_tags[@]}" "${for_epochs[@]}"
classifier="$(last "$output/cam")"

stage "seeds of $list"
quality train "$list" "${replaced[@]}"

stage "seeds of $val_list"
quality val "$val_list"

stage "result"
for name in train val; do
    printf '%s\n' "$name: $output/$name/quality.txt, curve.csv, curve.png, random.png, worst.png"
done
