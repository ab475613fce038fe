"""What all settings are: dataclasses whose fields explain themselves, with presets, checked types and ranges."""

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple, Type, TypeVar, Union

PRESETS = ("voc12", "animals", "scenes")
Number = Union[int, float]
Chosen = TypeVar("Chosen", bound="Settings")


def setting(
    default: Any,
    text: str,
    choices: Optional[Sequence[Any]] = None,
    least: Optional[Number] = None,
    above: Optional[Number] = None,
    most: Optional[Number] = None,
    options: Tuple[str, ...] = (),
    old: Tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its help text and, where limited, the allowed values: choices, or a range of numbers.

    least, most: the ends of a range that belong to it; above: the lower end of one that does not hold it. Of a field of several
    numbers they hold for each. options: names of its option, if not the field's own; old: further ones that help does not show.
    """
    limits = {"choices": choices, "least": least, "above": above, "most": most}
    return field(default=default, metadata={"help": text, **limits, "options": options + old, "old": old})


@dataclass(frozen=True)
class Settings:
    """Base: presets by name, and types and ranges checked when made. title: what the settings are of, in --help."""

    presets: ClassVar[Dict[str, Dict[str, Any]]] = {}
    title: ClassVar[str] = "the work"

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            check_type(item, getattr(self, item.name))
            check_range(item, getattr(self, item.name))

    @classmethod
    def preset(cls: Type[Chosen], name: str = "voc12", **changes: Any) -> Chosen:
        """The settings of a preset, changed; ValueError lists the presets or the names there are."""
        if name not in PRESETS:
            raise ValueError(f"preset: {name!r}, expected one of {', '.join(PRESETS)}")
        known = [item.name for item in dataclasses.fields(cls)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"settings: unknown {', '.join(unknown)}, expected some of {', '.join(known)}")
        return cls(**{**cls.presets.get(name, {}), **changes})


def check_type(item: "dataclasses.Field[Any]", value: Any) -> None:
    """TypeError or ValueError unless `value` has the type, and is among the choices, of a dataclass field."""
    expected = item.type
    if typing.get_origin(expected) is tuple:
        good = isinstance(value, tuple) and value and all(type(v) in (int, float) for v in value)
    elif expected is float:
        good = type(value) in (int, float)
    else:
        good = type(value) is expected
    if not good:
        raise TypeError(f"{item.name}: {value!r}, expected {getattr(expected, '__name__', expected)}")
    choices = item.metadata["choices"]
    if choices and value not in choices:
        raise ValueError(f"{item.name}: {value!r}, expected one of {', '.join(map(str, choices))}")


def check_range(item: "dataclasses.Field[Any]", value: Any) -> None:
    """ValueError unless every number of `value` is finite and in the range of a dataclass field."""
    least, above, most = (item.metadata[name] for name in ("least", "above", "most"))
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (bool, str)):
            continue
        good = math.isfinite(number) and (least is None or number >= least) and (above is None or number > above)
        if not (good and (most is None or number <= most)):
            raise ValueError(f"{item.name}: {show_number(value)}, expected {describe_range(least, above, most)}")


def show_number(value: Any) -> str:
    """A value as it would be typed on a command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def describe_range(least: Optional[Number], above: Optional[Number], most: Optional[Number]) -> str:
    """A range of `setting` in words."""
    if least is not None:
        return f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
    words = [f"more than {above:g}"] if above is not None else []
    words += [f"at most {most:g}"] if most is not None else []
    return ", ".join(words) or "a finite number"
