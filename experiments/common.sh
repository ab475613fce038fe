# What the scripts share. They source it with `script`, the name for messages, set; it sets `root`, the repository.
# shellcheck shell=bash disable=SC2034,SC2154  # variables of the scripts

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

fail() { printf '%s: %s\n' "$script" "$*" >&2; exit 2; }

# show_help FILE: the comment at its top, from the second line on
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# take_option --some-name [VALUE ...]: sets some_name to VALUE
take_option() {
    (($# > 1)) || fail "$1 needs a value"
    local name="${1#--}"
    printf -v "${name//-/_}" '%s' "$2"
}

# read_options OPTIONS SWITCHES ARGUMENT ...: sets the variables of the OPTIONS among the arguments, such as "--data|--val-list",
# to their values, those of the SWITCHES to yes; --help shows the comment at the top of the script
read_options() {
    local options="$1" switches="$2"
    shift 2
    while (($#)); do
        if [[ "$1" = @(-h|--help) ]]; then
            show_help "$0"
            exit 0
        elif [[ "$1" = @($options) ]]; then
            take_option "$@"
            shift 2
        elif [[ -n "$1" && "$1" = @($switches) ]]; then
            printf -v "${1#--}" yes
            shift
        else
            fail "unknown option $1; see --help"
        fi
    done
}

# choose_preset: sets what is empty of `preset` and what it decides: `backbone`, `cam_backbone` (the classifier's), `classes`
choose_preset() {
    : "${preset:=$([[ -n "$data" ]] && echo voc12 || echo scenes)}"
    case "$preset" in
        scenes) : "${backbone:=resnet10}" "${cam_backbone:=resnet10}" ;;
        animals)
            : "${backbone:=squeezenet1.1}" "${cam_backbone:=squeezenet1.1}"
            [[ -f "$data/classes.txt" ]] || : "${classes:=background,cat,cow,dog,horse,person,sheep}"
            ;;
        voc12) : "${backbone:=resnet101}" "${cam_backbone:=vgg16}" ;;
        *) fail "--preset $preset, expected voc12, animals or scenes" ;;
    esac
    [[ -n "$data" || "$preset" = scenes ]] || fail "--preset $preset needs --data, a data set in VOC layout"
}

# given NAME OPTION VALUE: the array NAME is (OPTION VALUE), or empty where VALUE is
given() {
    local -n words="$1"
    words=()
    [[ -z "$3" ]] || words=("$2" "$3")
}

# absolute NAME: from this folder to the repository's: names of weights stay, paths become absolute
absolute() {
    case "$1" in
        /* | imgclsmob:* | torchvision:* | timm:* | gluoncv:* | imagenet | random | "") printf '%s' "$1" ;;
        *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

# listed NAME: a list is a name, which stays, or a text file, whose path becomes absolute
listed() { if [[ -f "$1" ]]; then absolute "$1"; else printf '%s' "$1"; fi; }

# file LIST: the text file of a list, once `lists` is known
file() {
    local named="$lists/${1%.txt}.txt"
    if [[ -f "$named" ]]; then printf '%s' "$named"; else printf '%s' "$1"; fi
}

# check_inputs [option ...]: stop here if a later stage would stumble; sets `train_masks`, `val_masks`, `val_tags` to yes or no
check_inputs() {
    local found name value
    stage "check of data, weights and space"
    found="$(.venv/bin/python experiments/check_inputs.py --preset "$preset" --data "$data" --list "$list" --val-list "$val_list" \
        --output "$output" "${on_devices[@]}" "${over_classes[@]}" "${with_tags[@]}" "$@")" || exit
    while IFS='=' read -r name value; do printf -v "$name" '%s' "$value"; done <<<"$found"
}

tool() { local name="$1"; shift; .venv/bin/python "tools/$name.py" "$@"; }
stage() { printf '\n== %s\n' "$*"; }

# last RUN: the newest checkpoint of a run folder
last() { find "$1" -maxdepth 1 -name '*-[0-9][0-9][0-9][0-9].params' | sort | tail -n 1; }

# set_up: install what is missing, and go on in the repository's folder
set_up() {
    bash "$root/experiments/setup.sh"
    cd "$root" || exit
}

# find_data: without --data generate the scenes; sets `masks` and `lists`, their folders
find_data() {
    if [[ -z "$data" ]]; then
        data="$root/runs/data/scenes"
        stage "scenes: a generated data set"
        tool prepare_data scenes --output "$data"
    fi
    masks="$data/SegmentationClassAug"
    [[ -d "$masks" ]] || masks="$data/SegmentationClass"
    lists="$data/ImageSets/Segmentation"
}

# run_tables PROGRAM ARGUMENT ...: set up, then run experiments/PROGRAM with the arguments; with --help only tell the options,
# for which nothing has to be installed
run_tables() {
    local program="$1" word
    shift
    for word in "$@"; do
        [[ "$word" != @(-h|--help) ]] || { show_help "$0"; table_options; exit 0; }
    done
    bash "$root/experiments/setup.sh"
    exec "$root/.venv/bin/python" "$root/experiments/$program" "$@"
}

# table_options: the options of every table script
table_options() {
    cat <<'END'

  --preset voc12|animals|scenes   set of defaults (default: voc12 with --data, scenes without)
  --data ROOT                     data set in VOC layout (default: generated scenes)
  --init WEIGHTS                  ImageNet weights of every backbone, the classifier's too; where there are several (voc12)
                                  BACKBONE=WEIGHTS,... (default: the sources of the preset, see cian weights list)
  --cam-init WEIGHTS              the same for the classifier
  --backbones NAME,...            backbones (default: the preset's)
  --random-seeds "0 1 2"          a repetition of the trainings for each of these seeds (default: "0 1 2"; comnet.sh: 0)
  --list NAME, --val-list NAME    training ids and ids that are scored (default: train_aug, val)
  --tags FILE                     image tags, cls_labels.npy or a CSV (default: the data set's own)
  --devices gpu0,gpu1,...         or cpu (default: all GPUs, else cpu)
  --jobs N                        stages at a time (default: 2 on a CPU, else 1)
  --runs FOLDER                   of all runs (default: runs)
  --results FOLDER                of the numbers (default: experiments/results/PRESET)
  --dry-run                       only print the stages and their commands
 of table2.sh and all.sh:
  --truth                         Table 2: also plain LargeFOV trained on the true masks
  --filter-tags                   Table 2: also a second round on labels without classes that the tags do not name
 of table5.sh and all.sh:
  --test-list NAME                list for the server's archive (default: test)
 of comnet.sh:
  --cam-list NAME                 list on which class activation and walk are scored (default: train, where the data set has
                                  it, else --list; scenes: --val-list)
  --cam-scales A,B                scales of the class activation (default: the preset's)
  --segmentation NAME,...         backbones of Tables VI and VII (default: those of CIAN's Table 4)
  --values paper|fewer            values of N, alpha and k (default: paper; scenes fewer)
END
}
