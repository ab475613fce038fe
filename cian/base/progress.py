"""Progress of long work, on standard error: a bar on a terminal, elsewhere a plain line now and then; nothing with --quiet."""

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)
PAUSE = 30.0  # seconds at least from one plain line to the next
SHARE = 0.01  # and at least this share of the work, so that the log of a long training stays short


class Progress:
    """Counts finished pieces of work: `with Progress(100, "predict", "image") as progress: ... progress.update()`.

    total: how many there are; what: names the work; unit: a piece, in the singular, or "B" for bytes; done: how many were
    finished before. Shown only where the logging level lets messages through.
    """

    def __init__(self, total, what, unit, done=0):
        self.total, self.what, self.unit, self.done = total, what, unit, done
        self._before, self._told, self._note = done, done, ""
        self._began = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=what,
                unit=unit,
                unit_scale=unit == "B",
                leave=False,
                mininterval=0.5,
                file=sys.stderr,
            )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(finished=kind is None)

    def update(self, count=1, note=""):
        """Count `count` more pieces; note: what else is to be shown, such as the loss."""
        self.done += count
        self._note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last >= PAUSE and self.done - self._told >= SHARE * self.total and self.done < self.total:
            log.info(self.line())
            self._last, self._told = time.monotonic(), self.done

    def close(self, finished=True):
        """Remove the bar; say how it ended, if it did not end with an error."""
        if self._bar is not None:
            self._bar.close()
        if finished:
            log.info(self.line())

    def line(self):
        """`predict: 120 of 500 images, 4.2 images/s, done about 14:05`; of finished work how long it took."""
        seconds, made = time.monotonic() - self._began, self.done - self._before
        parts = [f"{self.what}: {self._amount(self.done)} of {self._amount(self.total)}{self._units}"]
        if made and seconds > 0:
            rate = made / seconds
            parts.append(f"{self._amount(rate, 1)}{self._units}/s" if rate >= 1 else f"{seconds / made:.1f} s/{self.unit}")
            left = (self.total - self.done) / rate
            parts.append(f"done about {clock(left)}" if left > 0 else f"took {duration(seconds)}")
        return ", ".join(parts + [self._note] * bool(self._note))

    @property
    def _units(self):
        return "B" if self.unit == "B" else f" {self.unit}s"

    def _amount(self, number, digits=0):
        return tqdm.format_sizeof(number) if self.unit == "B" else f"{number:.{digits}f}"


def tracked(items, what, unit, total=None):
    """Yield the items, counting each when the next is asked for; total: their number, where it is no list."""
    with Progress(len(items) if total is None else total, what, unit) as progress:
        for item in items:
            yield item
            progress.update()


def clock(seconds):
    """The time of day in so many seconds, `14:05`; with the day where that is not today."""
    now, then = time.localtime(), time.localtime(time.time() + seconds)
    return time.strftime("%H:%M" if now.tm_yday == then.tm_yday else "%a %d %b %H:%M", then)


def duration(seconds):
    """`7 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
