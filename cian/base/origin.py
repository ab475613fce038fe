"""Where a checkpoint comes from: what the settings.json of its run says of network, classes and preset, beside the options.

This is the one place that tools ask. An option that contradicts the run is an error; where the checkpoint has no settings.json
beside it (the published code's has none), the options decide, and the defaults of the preset.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Type, Union

from cian.base.files import read_json
from cian.base.runs import settings_record
from cian.config import PRESETS, BoundaryTraining, Classifier, Matching, Segmentation
from cian.config.arguments import show
from cian.config.settings import Settings

log = logging.getLogger(__name__)

#: method -> settings of its training, and one that tells them from those below
METHODS: Dict[str, Tuple[Type[Settings], str]] = {
    "cian": (Segmentation, "losses"),
    "comnet": (Matching, "matching"),
    "irn": (BoundaryTraining, "displacement"),
    "cam": (Classifier, "train_scales"),
}
#: settings that say what a network of CIAN computes, and what it was trained with besides
NETWORK = ("backbone", "affinity", "similarity", "merge", "merge_self", "group_size")


@dataclass(frozen=True)
class Origin:
    """What is known of a checkpoint: settings {} where there is no run, preset and classes None where the run does not say.

    path: the settings.json, there or not. classes: names, background first, of classifiers too.
    """

    path: Path
    settings: Dict[str, Any] = field(default_factory=dict)
    preset: Optional[str] = None
    classes: Optional[Tuple[str, ...]] = None

    @property
    def method(self) -> Optional[str]:
        """What was trained: cian, comnet, irn or cam; None where there is no run."""
        return next((name for name, (_, own) in METHODS.items() if own in self.settings), None)

    def decide(self, name: str, given: Any, default: Any = None) -> Any:
        """A setting of the network, by its name: the run's; without one what is given; without that the default.

        given: value of the option, None where it was left out. ValueError where the run says something else.
        """
        recorded = self.method if name == "method" else self.settings.get(name)
        if recorded is None:
            return default if given is None else given
        if given is not None and given != recorded:
            raise ValueError(
                f"--{name.replace('_', '-')} {show(given)}: {self.path} says {show(recorded)}; leave the option out"
            )
        return recorded

    def fill(self, args: Any, **defaults: Any) -> None:
        """Set options of parsed arguments, by their names, to what `decide` says, with these defaults."""
        for name, default in defaults.items():
            setattr(args, name, self.decide(name, getattr(args, name), default))

    def decide_preset(self, given: Optional[str]) -> str:
        """The preset whose defaults apply: the run's, which `given` may not contradict, else `given`, else voc12.

        Runs of older code do not name theirs: where their settings are those of a preset, it is that; this is logged, and so
        is falling back to voc12.
        """
        if self.preset is not None:
            if given not in (None, self.preset):
                raise ValueError(f"--preset {given}: {self.path} says {self.preset}; leave the option out")
            return self.preset
        if given is not None or not self.settings:
            return given or PRESETS[0]
        found = self._equal_preset()
        if found is None:
            log.warning(
                "%s names no preset, and its settings are those of none: the defaults of %s apply; --preset gives others",
                self.path,
                PRESETS[0],
            )
            return PRESETS[0]
        log.info("%s names no preset; its settings are those of %s, whose defaults apply", self.path, found)
        return found

    def _equal_preset(self) -> Optional[str]:
        """The preset with which the run agrees in all that presets differ in, but for the backbone; None where none does."""
        if self.method is None:
            return None
        settings_class = METHODS[self.method][0]
        names = {name for values in settings_class.presets.values() for name in values} - {"backbone"}
        for preset in PRESETS:
            values = settings_record(settings_class.preset(preset))
            if all(self.settings.get(name) == values[name] for name in names):
                return preset
        return None

    def check_classes(self, names: Sequence[str], source: Union[str, Path]) -> None:
        """ValueError unless these class names, background first, of `source` are those that the run was trained on."""
        if self.classes is None or tuple(names) == self.classes:
            return
        if len(names) != len(self.classes):
            raise ValueError(f"{source}: {len(names)} classes, {self.path} says {len(self.classes)}")
        other = [(index, pair) for index, pair in enumerate(zip(names, self.classes)) if pair[0] != pair[1]]
        index, (found, recorded) = other[0]
        raise ValueError(f"{source}: class {index} is {found!r}, {self.path} says {recorded!r} ({len(other)} differ)")


def origin_of(checkpoint: Union[str, Path, None]) -> Origin:
    """The Origin of a checkpoint; None is one without a run. ValueError for a settings.json that is no JSON."""
    path = Path(checkpoint or "").parent / "settings.json"
    found = read_json(path) if checkpoint is not None and path.is_file() else None
    settings = found.get("settings") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(settings, dict):
        return Origin(path)
    classes = found.get("classes")
    return Origin(path, settings, found.get("preset"), tuple(classes) if isinstance(classes, list) else None)

