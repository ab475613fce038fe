# %% [markdown]
# # From tags to masks
#
# CIAN learns to segment from images whose classes are named and nothing more. This walks through it on a few generated scenes:
# what a classifier looks at, the sparse labels made of that, what the affinity of two images finds, and the second round.
# Each `# %%` is a cell for an editor that knows them (VS Code, Spyder, `jupytext`); or all at once, about five minutes on two
# processors, with pictures in `runs/tutorial`:
#
#     bash experiments/setup.sh
#     .venv/bin/python experiments/tutorial.py

# %% What is used
from itertools import islice
from pathlib import Path

from PIL import Image

from cian.base.messages import speak
from cian.base.progress import tracked
from cian.base.runtime import mx
from cian.commands import train, train_cam
from cian.config import Inference
from cian.data.cams import resize_maps
from cian.data.groups import random_pairs
from cian.data.images import IGNORE, read_image, read_label, write_label
from cian.data.voc import open_dataset
from cian.evaluation.metrics import Scores, confusion_matrix
from cian.figures.affinity import choose_query
from cian.figures.affinity_maps import KEY_STEP, grid_label
from cian.figures.affinity_pairs import look_at_pair, observe_pair
from cian.figures.affinity_probe import AffinityProbe
from cian.figures.affinity_summary import summarise
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet, write_png
from cian.inference.crf import dense_crf
from cian.inference.segmenter import Segmenter, load_network
from cian.scenes.generate import generate
from cian.seeds.activation import activation_maps
from cian.seeds.classifiers import load_classifier
from cian.seeds.saliency import DEFAULT, METHODS, saliency
from cian.seeds.seeds import make_seed

# %% How much of everything. Another number of epochs needs another folder: a training goes on only as it was begun.
SIZES = {"folder": "runs/tutorial", "images": 240, "val": 30, "side": 160, "cam_epochs": 16, "epochs": 5, "second_epochs": 3}
SIZES.update(globals().get("CHANGES", {}))  # runpy.run_path("experiments/tutorial.py", {"CHANGES": {...}})
FOLDER = Path(SIZES["folder"])
CPU = mx.cpu()
speak()  # how far trainings are


def show(name, picture):
    """Write a picture uint8 (H, W, 3) as FOLDER/NAME.png; as the last line of a cell it is shown."""
    write_png(FOLDER / f"{name}.png", picture)
    print(FOLDER / f"{name}.png")
    return Image.fromarray(picture)


# %% [markdown]
# ## Images and their tags
# A data set has the layout of Pascal VOC. `train_aug` is trained on: its images and tags. The masks, which generated scenes
# have too, only tell how good we are.

# %%
generate(FOLDER / "scenes", SIZES["images"], SIZES["val"], SIZES["side"])
data = open_dataset(FOLDER / "scenes")
train_ids, val_ids = data.read_ids("train_aug"), data.read_ids("val")
tags = data.read_tags(train_ids + val_ids)
images = {name: read_image(data.image_path(name)) for name in train_ids + val_ids}
truths = {name: read_label(data.mask_path(name)) for name in train_ids + val_ids}  # 255: the border of an object, not counted
for name in train_ids[:3]:
    print(name, images[name].shape, [data.classes[index] for index in tags[name]])


# %% Mean intersection over union of some masks, the measure of all that follows
def measure(masks, unlabelled=False):
    """Scores of {id: mask (H, W)}; unlabelled: 255 in a mask is allowed and does not count."""
    counts = sum(confusion_matrix(truths[name], mask, len(data.classes), unlabelled) for name, mask in masks.items())
    return Scores(data.classes, counts, len(masks))


# %% [markdown]
# ## A classifier, and where it looks
# Trained on tags alone: is there an owl in this image or not? Its last layer is linear and averages over the image, so that
# what each place adds to the score of a class is known: the class activation map (CAM), scaled to 0 ... 1.

# %%
common = ["--preset", "scenes", "--data", data.root, "--devices", "cpu", "--resume"]


def run(verb, *words):
    """Run a command of `cian` here, as `cian VERB WORD ...` does in a shell."""
    verb.main([str(word) for word in (*common, *words)])


run(train_cam, "--init", "random", "--epochs", SIZES["cam_epochs"], "--output", FOLDER / "cam")
checkpoint = FOLDER / "cam" / f"cam_resnet10-{SIZES['cam_epochs'] - 1:04d}.params"
classifier = load_classifier(checkpoint, "cam", "resnet10", len(data.classes) - 1, CPU)

# %% Of some images of two classes or more the one whose classes the classifier is surest of
def least_score(name):
    """The lowest score of the image's own classes; above 0 the classifier finds it."""
    scores = activation_maps(classifier, images[name], tags[name], scales=(1.0,), flip=False)[1]
    return min(scores[index - 1] for index in tags[name])


name = max([name for name in train_ids if len(tags[name]) > 1][:20], key=least_score)
maps, scores = activation_maps(classifier, images[name], tags[name], scales=(1.0, 1.5))  # (C, h, w) at stride 8
print(name, {one: round(float(score), 1) for one, score in zip(data.classes[1:], scores)})
large = resize_maps(maps, images[name].shape[:2])
show("1_cam", sheet([[images[name], *(heat_map(images[name], one) for one in large[:2])]],
                    ["image", *(f"CAM: {data.classes[index]}" for index in tags[name][:2])]))  # fmt: skip

# %% [markdown]
# ## A seed: labels of the pixels that are sure
# An object where a CAM reaches 0.3, background where nothing is salient; where both or neither claim a pixel it stays
# unlabelled. A low threshold claims for an object what is none, some of it against the background, which leaves it unlabelled;
# a high one finds only the object's heart: try.

# %%
salient = saliency(images[name])
for threshold in (0.2, 0.3, 0.5):
    seed = make_seed(large, tags[name], salient, threshold, METHODS[DEFAULT].background)
    right = (seed == truths[name])[(seed != IGNORE) & (truths[name] != IGNORE)].mean()
    print(f"CAM from {threshold}: {(seed != IGNORE).mean():.0%} of the pixels labelled, {right:.0%} of them right")
seed = make_seed(large, tags[name], salient, 0.3, METHODS[DEFAULT].background)
show("2_seed", sheet([[images[name], heat_map(images[name], salient, 1, "gray"), overlay(images[name], seed),
                       colour_label(truths[name])]], ["image", "saliency", "seed", "truth"],
                     legend=legend_of([seed, truths[name]], data.classes)))  # fmt: skip

# %% The seeds of all training images
seeds = {}
for name in tracked(train_ids, "seeds", "image"):
    maps, _ = activation_maps(classifier, images[name], tags[name], scales=(1.0, 1.5))
    large = resize_maps(maps, images[name].shape[:2])
    seeds[name] = make_seed(large, tags[name], saliency(images[name]), 0.3, METHODS[DEFAULT].background)
    write_label(FOLDER / "seeds" / f"{name}.png", seeds[name])
found = measure(seeds, unlabelled=True)
labelled = found.totals()["foreground"]["coverage"]
print(f"seeds: mIoU {found.mean_iou():.1%} of the labelled pixels; of those of objects {labelled:.0%} are labelled")

# %% [markdown]
# ## Round one: a network that compares images
# DeepLab-LargeFOV, trained on the seeds in pairs of images with a common class. To the features x of each pixel of one image a
# residual is added, gathered from the pixels of the other that resemble it (Eq. 1 to 4); the loss asks that both the prediction
# with the image's own affinity and that with the other's are right, and completes the labels on the way (Eq. 5 to 9).

# %%
run(train, "--labels", FOLDER / "seeds", "--init", checkpoint, "--epochs", SIZES["epochs"], "--output", FOLDER / "round1")
checkpoint = FOLDER / "round1" / f"cian_resnet10-{SIZES['epochs'] - 1:04d}.params"
network = load_network(checkpoint, "resnet10", "dot", CPU)

# %% [markdown]
# ## What a pixel looks at
# The affinity of a query pixel is a distribution over all pixels of a reference: it sums to 1. How much of it falls on the
# query pixel's own class, beside the share of the reference that this class covers, which is what chance would give? It need
# not be much: a network trained so shortly is free to look anywhere, and often all its pixels look at one and the same place.

# %%
pairs = list(islice(random_pairs(val_ids, tags, "common", 0), 12))


def look_around(network):
    """{pair: what is seen of it} of the pairs; prints how much of the affinity finds its class."""
    probe = AffinityProbe(network)
    looks = {pair: observe_pair(probe, network.backbone, data, pair, CPU) for pair in pairs}
    measured = [direction for look in looks.values() for direction in look.measure(len(data.classes))]
    told = summarise(measured, data.classes)[0]
    print(f"{len(pairs)} pairs: of the affinity of an object's pixels {told.mass:.0%} is on its class, which covers "
          f"{told.share:.0%}; pixels of other classes send {told.others:.0%} there")  # fmt: skip
    return looks


looks = look_around(network)

# %% One pair as Figure 3 of the paper, and as a page for a browser: click on any pixel
pair = pairs[0]
look = looks[pair]
query = choose_query(look.maps[0], sorted(set(tags[pair[0]]) & set(tags[pair[1]])), *look.labels)
looked_at = look.maps[0].cross[query.pixel]  # (p, q): every 16th pixel of the reference
own = grid_label(look.labels[1], KEY_STEP, looked_at.shape) == query.class_id
print(f"{pair[0]} looks at {pair[1]}: sum {looked_at.sum():.3f}, {looked_at[own].sum():.0%} on {data.classes[query.class_id]}, "
      f"which covers {own.mean():.0%}")  # fmt: skip
look_at_pair(FOLDER / "3_affinity", lambda _: look, pair, tags, data.classes, ("png", "html"))
print(*(FOLDER / "3_affinity").glob("*_val_*"))

# %% [markdown]
# ## Masks
# Logits of three scales and their mirrors, averaged; the largest one wins. A dense CRF draws the border along the colours.


# %%
def masks_of(network, names, iterations):
    """{id: mask (H, W)} of some images, padded to the size that the preset tests at; iterations: of the CRF."""
    segmenter = Segmenter(network, CPU, size=Inference.preset("scenes").test_size)
    return {name: dense_crf(images[name], segmenter.logits(images[name]), iterations, "pruned")
            for name in tracked(names, "masks", "image")}  # fmt: skip


first = masks_of(network, val_ids, 5)
print(f"round one: mIoU {measure(first).mean_iou():.1%} of {len(val_ids)} images")

# %% [markdown]
# ## Round two: the masks become labels
# Masks of the training images, made by the network of round one, label every pixel, not only the sure ones; on them it is
# trained on. Does it help? It depends on the masks: what is wrong in them is learned too. And the affinity?

# %%
labels = masks_of(network, train_ids, 10)
for name, mask in labels.items():
    write_label(FOLDER / "labels" / f"{name}.png", mask)
print(f"labels of round two: mIoU {measure(labels).mean_iou():.1%} on the training images")
run(train, "--labels", FOLDER / "labels", "--init", checkpoint, "--round", 2, "--epochs", SIZES["second_epochs"],
    "--output", FOLDER / "round2")  # fmt: skip
checkpoint = FOLDER / "round2" / f"cian_resnet10-{SIZES['second_epochs'] - 1:04d}.params"
network = load_network(checkpoint, "resnet10", "dot", CPU)
second = masks_of(network, val_ids, 5)
look_around(network)
print(f"round two: mIoU {measure(second).mean_iou():.1%} of {len(val_ids)} images")

# %% The image that gained most, the one in the middle, and the one that lost most
iou = {name: [measure({name: masks[name]}).mean_iou() for masks in (first, second)] for name in val_ids}
order = sorted(val_ids, key=lambda name: iou[name][0] - iou[name][1])
chosen = [order[0], order[len(order) // 2], order[-1]]
rows = [[images[n], overlay(images[n], first[n]), overlay(images[n], second[n]), colour_label(truths[n])] for n in chosen]
notes = [["", *(f"IoU {value:.0%}" for value in iou[n]), ", ".join(data.classes[index] for index in tags[n])] for n in chosen]
legend = legend_of([masks[n] for masks in (first, second, truths) for n in chosen], data.classes)
show("4_masks", sheet(rows, ["image", "round one", "round two", "truth"], chosen, legend, notes=notes))

# %% [markdown]
# ## And now
# `bash experiments/quickstart.sh` does the same by the commands, on more images; `--data ROOT` on yours. `cian.Predictor` makes
# masks with an exported network.
