"""The stages behind CIAN's tables: classifier, seeds, masks of each row, labels of the second round."""

from plan import LABELS, DataStages, digest, suffix, tool

from cian.base.runs import settings_record
from cian.config import LABEL_FITS, Classifier, Inference, Seeding, Segmentation

#: what presets said of prediction when it was part of a training's stage: names of trainings hold it to this day
NAMED_BY = {"scenes": dict(test_size=161)}


class Plan(DataStages):
    """The stages over one data set: each method gives a Stage, and what it needs."""

    def __init__(self, args, option="backbones"):
        """option: name of the option that lists the backbones."""
        super().__init__(args)
        default = "resnet101,resnet50" if args.preset == "voc12" else Segmentation.preset(args.preset).backbone
        self.backbones = (getattr(args, option) or default).split(",")
        unknown = [name for name in self.backbones if name not in LABELS]
        if unknown:
            raise ValueError(f"--{option}: {unknown[0]!r}, expected some of {', '.join(LABELS)}")
        self.tested = {"test_size": Inference.preset(args.preset).test_size}  # of the masks, beside their training's settings

    def classifier(self):
        """The classifier from tags."""
        settings = Classifier.preset(self.args.preset)
        backbone = settings.backbone
        init = self.weights(self.args.cam_init, backbone) or self.weights(self.args.init, backbone)
        init = init or self.default_weights()
        lists = ("--list", self.args.list, "--val-list", self.args.val_list)
        return self.stage(
            "cam", backbone, "", {"settings": settings_record(settings), "init": digest(init)},
            lambda folder: [tool("train_cam", *self.options, *self.tags, "--backbone", backbone, *lists, "--init", init,
                                 "--output", folder, "--resume", *self.devices)],
        )  # fmt: skip

    def seeds(self, ratio="0"):
        """Seeds of the training list; those with some ground truth take the maps of those without."""
        settings, classifier = Seeding.preset(self.args.preset), self.classifier()
        backbone = Classifier.preset(self.args.preset).backbone
        common = (*self.options, "--list", self.args.list, *self.devices)
        if ratio == "0":
            weights = checkpoint(classifier, "cam", Classifier, self.args.preset, backbone)
            needs, made_from = [classifier], ("--checkpoint", weights)
        else:
            needs = [self.seeds()]
            made_from = ("--maps", needs[0].folder, "--substitute", ratio)
        return self.stage(
            "seeds", backbone, suffix(f"truth-{ratio}", ratio != "0"), {"settings": settings_record(settings), "ratio": ratio},
            lambda folder: [tool("make_seeds", *common, *self.tags, *made_from, "--output", folder)],
            needs,
        )  # fmt: skip

    def training(self, backbone, seed, losses, grouping="common", ratio="0", second_round=False, labels=None, affinity=True,
                 filtered=False, true_masks=False):  # fmt: skip
        """Training of one row with one seed.

        filtered: the labels of the second round hold no class that the image's tags do not name, unlike the published ones.
        labels: (stage, its folder of label images) to train on instead of the seeds; true_masks: the data set's own masks.
        affinity False: plain DeepLab-LargeFOV.
        """
        changes, more = dict(backbone=backbone, losses=losses, grouping=grouping, seed=seed, affinity=affinity), {}
        if second_round:
            labels = self.labels(backbone, seed, losses, grouping, ratio, filtered)
            init = checkpoint(labels.needs[0], "cian", Segmentation, self.args.preset, backbone)
            identity, needs, given = labels.name, [labels], ("--round", "2", "--labels", labels.folder / "pred_crf")
            changes["round"] = 2
        elif true_masks:
            init, identity, needs = self.start(backbone)
            given, more = ("--labels", self.dataset.mask_folder), {"labels": "true masks"}
        else:
            seeds = self.seeds(ratio) if labels is None else labels[0]
            init, identity, needs = self.start(backbone)
            given, needs = ("--labels", seeds.folder / "seeds" if labels is None else labels[1]), [seeds] + needs
        settings = Segmentation.preset(self.args.preset, **changes)
        words = [part for name in ("backbone", "losses", "grouping", "seed") for part in (f"--{name}", changes[name])]
        words += [] if affinity else ["--affinity", "no"]
        variant = (
            (losses if affinity else "largefov") + suffix("-random", grouping == "random") + suffix(f"-{ratio}", ratio != "0")
        )
        variant += suffix("-truth", true_masks) + suffix("+rt", second_round) + suffix("-filtered", filtered) + f"-s{seed}"
        inference = Inference.preset(self.args.preset, **NAMED_BY.get(self.args.preset, {}))
        content = {"settings": settings_record(settings), "inference": settings_record(inference), "init": identity, **more}

        def commands(folder):
            yield tool("train", *self.options, *self.tags, "--list", self.args.list, *words, *given, "--init", init,
                       "--output", folder, "--resume", *self.devices)  # fmt: skip

        return self.stage("cian", backbone, variant, content, commands, needs)

    def masks(self, backbone, *row, **options):
        """Scored masks of the validation list, before and after the CRF, of a `training`, which has the same arguments."""
        trained = self.training(backbone, *row, **options)
        variant = trained.name.split("_")[-1].rsplit("-", 1)[0]
        weights = checkpoint(trained, "cian", Segmentation, self.args.preset, backbone)
        ids = self.dataset.list_path(self.args.val_list)

        def commands(folder):
            yield tool("predict", *self.options, "--list", self.args.val_list, *self.devices,
                       "--checkpoint", weights, "--output", folder / "val")  # fmt: skip
            for name in ("val", "val_crf"):
                predicted = folder / "val" / name.replace("val", "pred")
                yield self.scored("--predictions", predicted, "--list", ids, "--json", folder / f"{name}.json")

        content = {"inference": settings_record(Inference.preset(self.args.preset))}
        return self.stage("masks", backbone, variant, content, commands, [trained])

    def start(self, backbone):
        """(weights, what identifies them, stages they need): of --init; for scenes without it, the classifier's features."""
        init = self.weights(self.args.init, backbone)
        if init is None and self.args.preset == "scenes":
            classifier = self.classifier()
            return checkpoint(classifier, "cam", Classifier, "scenes", backbone), classifier.name, [classifier]
        init = init or self.default_weights()
        return init, digest(init), []

    def labels(self, backbone, seed, losses, grouping, ratio, filtered=False):
        """A network's masks of the training list, as the labels of a second round; filtered: by the image's tags."""
        first, fit = self.training(backbone, seed, losses, grouping, ratio), LABEL_FITS[self.args.preset]
        words = ("--list", self.args.list, "--fit", fit, "--crf-iterations", "10")
        weights = checkpoint(first, "cian", Segmentation, self.args.preset, backbone)
        words += ("--filter-tags", *self.tags) if filtered else ()
        content = {"inference": settings_record(Inference.preset(self.args.preset, crf_iterations=10))}
        content.update({"fit": fit} if fit != "warp" else {})  # the names of the others stay as they were
        content.update({"filter_tags": True} if filtered else {})
        return self.stage(
            "labels", backbone, f"{losses}{suffix('-filtered', filtered)}-s{seed}", content,
            lambda folder: [tool("predict", *self.options, *words, *self.devices, "--checkpoint", weights, "--output", folder)],
            [first],
        )  # fmt: skip


def checkpoint(stage, kind, settings_class, preset, backbone):
    """Path of the last checkpoint a training stage writes."""
    return stage.folder / f"{kind}_{backbone}-{settings_class.preset(preset).epochs - 1:04d}.params"
