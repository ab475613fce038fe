"""What all settings are: dataclasses whose fields explain themselves, with presets and checked types."""

import dataclasses
import typing
from dataclasses import dataclass, field

PRESETS = ("voc12", "animals", "scenes")


def setting(default, text, choices=None):
    """A dataclass field with its help text and, where limited, the allowed values."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """Base: presets by name, and types checked when made."""

    presets = {}

    def __post_init__(self):
        for item in dataclasses.fields(self):
            check_type(item, getattr(self, item.name))

    @classmethod
    def preset(cls, name="voc12", **changes):
        """The settings of a preset, changed; ValueError lists the presets or the names there are."""
        if name not in PRESETS:
            raise ValueError(f"preset: {name!r}, expected one of {', '.join(PRESETS)}")
        known = [item.name for item in dataclasses.fields(cls)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"settings: unknown {', '.join(unknown)}, expected some of {', '.join(known)}")
        return cls(**{**cls.presets.get(name, {}), **changes})


def check_type(item, value):
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
