#!/usr/bin/env bash
# Seeds and how good they are: set-up, classifier from tags, seeds of the training and the validation list, tables of precision,
# recall and coverage, curves of CAM mIoU over thresholds, and sheets of pictures.
#   bash experiments/seeds.sh                                                      generated scenes, a few minutes on 2 cores
#   bash experiments/seeds.sh --data ROOT --init WEIGHTS --preset animals|voc12    a data set in VOC layout with masks
# Further options: --output FOLDER (default runs/seeds_PRESET), --backbone NAME (default that of the preset), --classes a,b,c
# (the mean is over these), --list LIST and --val-list LIST (names in ImageSets/Segmentation or text files; default train_aug
# and val), --tags FILE, --saliency-maps FOLDER, --epochs N, --devices LIST, --substitute SHARE (for so many of the training
# images the seed is the ground truth). Without --init the weights are gluoncv's.
# Stopped at any moment, the same command goes on where it was.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
preset="" data="" init="" output="" classes="" list=train_aug val_list=val backbone="" devices=""
tags="" saliency_maps="" epochs="" substitute=""

fail() { printf 'seeds: %s\n' "$*" >&2; exit 2; }

while (($#)); do
    option="$1"
    case "$option" in
        -h | --help) sed -n '2,10p' "${BASH_SOURCE[0]}" | cut -c3-; exit 0 ;;
        --preset | --data | --init | --output | --classes | --list | --val-list | --backbone | --devices) ;;
        --tags | --saliency-maps | --epochs | --substitute) ;;
        *) fail "unknown option $option; see --help" ;;
    esac
    (($# > 1)) || fail "$option needs a value"
    name="${option#--}"
    printf -v "${name//-/_}" '%s' "$2"
    shift 2
done

: "${preset:=$([[ -n "$data" ]] && echo voc12 || echo scenes)}"
case "$preset" in
    scenes) : "${backbone:=resnet10}" "${init:=random}" ;;
    animals) : "${backbone:=squeezenet1.1}" "${classes:=background,cat,cow,dog,horse,person,sheep}" ;;
    voc12) : "${backbone:=vgg16}" ;;
    *) fail "--preset $preset, expected voc12, animals or scenes" ;;
esac
[[ -n "$data" || "$preset" = scenes ]] || fail "--preset $preset needs --data, a data set in VOC layout"
: "${init:=gluoncv:$backbone}" "${output:=$root/runs/seeds_$preset}"

# from this folder to the repository's: names stay, paths become absolute
absolute() { case "$1" in /* | gluoncv:* | random | "") printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }
listed() { if [[ -f "$1" ]]; then absolute "$1"; else printf '%s' "$1"; fi; }
data="$(absolute "$data")" output="$(absolute "$output")" init="$(absolute "$init")" tags="$(absolute "$tags")"
saliency_maps="$(absolute "$saliency_maps")"
list="$(listed "$list")" val_list="$(listed "$val_list")"
bash "$root/experiments/setup.sh"
cd "$root"

tool() { local name="$1"; shift; .venv/bin/python "tools/$name.py" "$@"; }
stage() { printf '\n== %s\n' "$*"; }
on_devices=(); [[ -z "$devices" ]] || on_devices=(--devices "$devices")
over_classes=(); [[ -z "$classes" ]] || over_classes=(--classes "$classes")
with_tags=(); [[ -z "$tags" ]] || with_tags=(--tags "$tags")
with_maps=(); [[ -z "$saliency_maps" ]] || with_maps=(--saliency-maps "$saliency_maps")
for_epochs=(); [[ -z "$epochs" ]] || for_epochs=(--epochs "$epochs")
replaced=(); [[ -z "$substitute" ]] || replaced=(--substitute "$substitute")

if [[ -z "$data" ]]; then
    data="$root/runs/data/scenes"
    stage "scenes: a generated data set"
    tool prepare_data scenes --output "$data"
fi
masks="$data/SegmentationClassAug"; [[ -d "$masks" ]] || masks="$data/SegmentationClass"
[[ -d "$masks" ]] || fail "$data has neither SegmentationClassAug nor SegmentationClass, and the seeds are compared with masks"
mkdir -p "$output"

# file LIST: the text file of a list
file() {
    local named="$data/ImageSets/Segmentation/$1.txt"
    if [[ -f "$named" ]]; then printf '%s' "$named"; else printf '%s' "$1"; fi
}

# quality NAME LIST [option ...]: seeds, scores, curve and sheets of a list in OUTPUT/NAME
quality() {
    local folder="$output/$1" ids="$2"; shift 2
    tool make_seeds --preset "$preset" --backbone "$backbone" --data "$data" --list "$ids" --checkpoint "$classifier" \
        --output "$folder" "${on_devices[@]}" "${with_tags[@]}" "${with_maps[@]}" "$@"
    tool evaluate --seeds --predictions "$folder/seeds" --ground-truth "$masks" --list "$(file "$ids")" \
        "${over_classes[@]}" --json "$folder/quality.json" | tee "$folder/quality.txt"
    tool evaluate --cams "$folder/cam" --ground-truth "$masks" --list "$(file "$ids")" "${over_classes[@]}" \
        --curve "$folder/curve" --mark 0.3 --json "$folder/curve.json" | tee "$folder/curve.txt"
    tool report --seeds "$folder" --data "$data" --list "$ids" "${with_maps[@]}"
}

stage "classifier, from tags"
tool train_cam --preset "$preset" --backbone "$backbone" --data "$data" --list "$list" --val-list "$val_list" --init "$init" \
    --output "$output/cam" --resume "${on_devices[@]}" "${with_tags[@]}" "${for_epochs[@]}"
classifier="$(find "$output/cam" -maxdepth 1 -name '*-[0-9][0-9][0-9][0-9].params' | sort | tail -n 1)"

stage "seeds of $list"
quality train "$list" "${replaced[@]}"

stage "seeds of $val_list"
quality val "$val_list"

stage "result"
for name in train val; do
    printf '%s\n' "$name: $output/$name/quality.txt, curve.csv, curve.png, random.png, worst.png"
done
