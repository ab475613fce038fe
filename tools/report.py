"""What a run of the main job reached: a table of mIoU of seeds and rounds, and a contact sheet of pictures.

Reads the folder that experiments/quickstart.sh writes; prints and writes OUTPUT/summary.md, and OUTPUT/sheet.png.
"""

import argparse
from pathlib import Path

import numpy as np

from cian.cli import run_tool
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset
from cian.figures import colour_label, heat_map, overlay, sheet, write_png
from cian.files import read_json, write_text
from cian.seeds import load_cam, resize_maps

#: row of the table -> (scores without CRF, scores with CRF), files in the folder of the run
ROWS = {
    "seeds (training list, assigned pixels)": ("seeds.json", None),
    "round one": ("round1/val.json", "round1/val_crf.json"),
    "round two": ("round2/val.json", "round2/val_crf.json"),
    "true masks, same network and schedule": ("truth/val.json", "truth/val_crf.json"),
}


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="folder of the main job")
    parser.add_argument("--data", required=True, help="data set in VOC layout")
    parser.add_argument(
        "--sheet-list", required=True, help="text file of the ids to draw; their CAM and seeds are in RUN/sheet"
    )
    return parser.parse_args(argv)


def summary(run):
    """Markdown table of mIoU and per-class IoU in per cent; a row whose scores are not there is left out."""
    found = {}
    for row, files in ROWS.items():
        for crf, name in zip(("no", "yes"), files):
            if name and (run / name).exists():
                found[row, crf] = read_json(run / name)
    if not found:
        raise FileNotFoundError(f"{run}: no scores there; expected {ROWS['round one'][0]} or others")
    classes = list(next(iter(found.values()))["iou"])
    lines = ["| masks | CRF | mIoU | " + " | ".join(classes) + " |", "|---|---|" + "---|" * (len(classes) + 1)]
    for (row, crf), scores in found.items():
        values = [scores["miou"]] + [scores["iou"][name] for name in classes]
        lines.append(f"| {row} | {crf} | " + " | ".join("" if v is None else f"{100 * v:.1f}" for v in values) + " |")
    return "\n".join(lines) + "\n"


def picture_row(run, dataset, image_id):
    """Image, truth, CAM, seed and the two rounds' predictions of one image, uint8 (H, W, 3) each."""
    image = read_image(dataset.image_path(image_id))
    _, cams = load_cam(run / "sheet" / "cam" / f"{image_id}.npz")
    strongest = resize_maps(cams, image.shape[:2]).max(axis=0) if len(cams) else np.zeros(image.shape[:2], np.float32)
    masks = [run / "sheet" / "seeds", run / "round1" / "val" / "pred_crf", run / "round2" / "val" / "pred_crf"]
    drawn = [overlay(image, read_label(folder / f"{image_id}.png")) for folder in masks]
    return [image, colour_label(read_label(dataset.mask_path(image_id))), heat_map(image, strongest)] + drawn


def main(argv=None):
    args = parse_args(argv)
    run = Path(args.run)
    table = summary(run)
    write_text(run / "summary.md", table)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.sheet_list)
    shown = set().union(*(np.unique(read_label(dataset.mask_path(i))).tolist() for i in ids)) - {255}
    titles = ["image", "truth", "CAM", "seed", "round one + CRF", "round two + CRF"]
    legend = {index: dataset.classes[index] for index in sorted(shown)}
    legend[255] = "unlabelled"
    write_png(
        run / "sheet.png", sheet([picture_row(run, dataset, i) for i in ids], titles, row_titles=ids, legend=legend)
    )
    print(table)
    print(f"pictures: {run / 'sheet.png'}")


if __name__ == "__main__":
    run_tool(main)
