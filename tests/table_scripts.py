"""What the tests of the table scripts share: their modules, a data set of three images, common options."""

import sys

import numpy as np
from small_training import ROOT
from voc_trees import write_dataset

from cian.base.results import read_paper

sys.path.insert(0, str(ROOT / "experiments"))
import check_inputs
import cian_plan
import comnet_tables
import plan as plan_module
import recipes
import tables
from stages import Runner, Stage, StageFailed, claimed, in_order

__all__ = ["PAPER", "Runner", "Stage", "StageFailed", "arguments", "check_inputs", "cian_plan", "claimed", "comnet_tables",
           "in_order", "plan_module", "recipes", "tables", "three_images"]
PAPER = read_paper(ROOT / "experiments" / "paper.csv")


def three_images(root):
    """A data set of two images for training and one for validation; returns its folder."""
    label = np.full((20, 24), 8, np.uint8)
    return write_dataset(root, {"train_aug": {"a": label, "b": label}, "val": {"c": label}})


def arguments(data, tmp_path, *more):
    """Options of a table script that keeps everything below tmp_path."""
    words = ["--preset", "voc12", "--data", str(data), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    return [*words, *more]
