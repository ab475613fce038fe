"""The training loop: any objective, on several devices through a KVStore, interruptible and exactly resumable."""

import logging
import math
import signal
import time
from typing import Any, Callable, Optional, Sequence

import numpy as np

from cian.base.runs import Run
from cian.base.runtime import mx
from cian.base.stops import Diverged, Interrupted
from cian.data.loader import Loader
from cian.models.checkpoint import FAST, named_arrays, not_finite, save_checkpoint
from cian.training.events import Events
from cian.training.objectives import Objective
from cian.training.optimizer_state import optimizer_arrays, restore_optimizer
from cian.training.shares import Turns
from cian.training.worker_group import WorkerGroup

log = logging.getLogger(__name__)

KVSTORES = ("local", "device", "dist_sync", "dist_device_sync")
OPTIMIZERS = {"sgd": lambda s: dict(momentum=s.momentum), "adam": lambda s: dict()}
CHECKPOINTS_KEPT = 5  # as published
STATE_EVERY = 300  # seconds between two states to resume from


def learning_rate(settings, epoch, progress=0.0):
    """Poly decay: lr (1 - e / E)^power per epoch; with schedule "iteration", e counts the part of the epoch done too."""
    done = epoch + (progress if settings.schedule == "iteration" else 0)
    return settings.lr * (1 - done / settings.epochs) ** settings.power


def make_trainer(net, settings, kvstore):
    """Gluon's Trainer with the published multipliers: the new layers faster, decay on weights and gammas only.

    The update runs on every worker itself, so no optimizer is ever sent (pickled) to a server.
    """
    parameters = net.collect_params()
    frozen = tuple(prefix.strip() for prefix in settings.freeze.split(",") if prefix.strip())
    for prefix in frozen:
        if not any(name.startswith(prefix) for name in parameters):
            raise ValueError(
                f"freeze: {prefix!r} is the start of no parameter's name; they start with "
                f"{', '.join(sorted({name.split('_')[0] for name in parameters}))}"
            )
    for name, parameter in parameters.items():
        parameter.lr_mult = settings.fast_lr_mult if name.startswith(FAST) else 1.0
        parameter.wd_mult = 1.0 if name.endswith(("_weight", "_gamma")) else 0.0
        if frozen and name.startswith(frozen):
            parameter.grad_req = "null"
    options = dict(learning_rate=settings.lr, wd=settings.weight_decay, **OPTIMIZERS[settings.optimizer](settings))
    return mx.gluon.Trainer(parameters, settings.optimizer, options, kvstore=kvstore, update_on_kvstore=False)


class Fit:
    """One training: `objective.net` is what is trained and saved, `objective(batch, device)` gives its losses, see Objective.

    Their sum, times the number of images of a device's share, is what the published code descends.
    shares: equal parts of a batch, dealt out to the devices in turns; a multiple of their number, None for one each.
    """

    def __init__(
        self,
        objective: Objective,
        loader: Loader,
        run: Run,
        settings: Any,
        devices: Sequence[Any],
        kvstore: Any = "device",
        progress: Callable[..., Any] = lambda *_: None,
        shares: Optional[int] = None,
        validation: Optional[Callable[..., Optional[float]]] = None,
        events: Optional[Events] = None,
    ) -> None:
        self.objective, self.loader, self.run, self.settings, self.devices = objective, loader, run, settings, devices
        self.turns = Turns(objective.net, (shares or len(devices)) // len(devices))
        self.trainer = make_trainer(objective.net, settings, kvstore)
        self.trainer._init_kvstore()
        self.trainer._init_params()  # now: at the first step it would copy device 0's running statistics to the others
        self.workers = WorkerGroup(self.trainer._kvstore if self.trainer._distributed else "local")
        self.progress, self.validation, self.events = progress, validation, events
        self._signal = None

    def train(self, to_arrays):
        """Train to the last epoch. to_arrays(ids, made batch) -> tuple of numpy arrays.

        Interrupted after SIGINT or SIGTERM, which any worker may get (state written by the first one, of a step that all have
        made), Diverged on a NaN or infinite loss (nothing written). ValueError if workers mean different trainings.
        """
        epoch, step = self.resume()
        count = len(self.loader.plan.epoch(epoch))
        if self.events:
            self.events.open(epoch * count + step)
        handlers = {number: signal.signal(number, self._note_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        saved = time.monotonic()
        try:
            if step == 0:
                self.validate(epoch, count)
            while epoch < self.settings.epochs:
                count = len(self.loader.plan.epoch(epoch))
                for ids, made in self.loader.batches(epoch, step):
                    self.step(epoch, step, count, ids, to_arrays(ids, made))
                    step += 1
                    due = time.monotonic() - saved > STATE_EVERY and step < count
                    stop, due = self.workers.agree(self._signal, due)
                    if stop or due:
                        self.save_state(epoch, step)
                        saved = time.monotonic()
                    if stop:
                        raise Interrupted(stop)
                parameters, _ = self.arrays()
                if self.run.write:
                    save_checkpoint(self.run.checkpoint_path(epoch), parameters)
                    self.run.keep_newest(CHECKPOINTS_KEPT)
                epoch, step = epoch + 1, 0
                self.save_state(epoch, step)
                self.validate(epoch, count)
                saved = time.monotonic()
        finally:
            if self.events:
                self.events.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def validate(self, done, count):
        """Measure the network after `done` epochs of `count` steps, where that is wanted; the first worker does."""
        if self.validation is None or not done or not self.run.write:
            return
        value = self.validation(done - 1, lambda: self._signal is not None)
        if value is not None and self.events:
            self.events.write(done * count, {"val_miou": value})
        if self._signal is not None and self.workers.count == 1:  # several stop after the next step, which all make
            raise Interrupted(self._signal)

    def _note_signal(self, number, frame):
        self._signal = number

    def step(self, epoch, step, count, ids, batch):
        """One update on all devices; logs it and checks that the loss is finite."""
        began = time.monotonic()
        self.trainer.set_learning_rate(learning_rate(self.settings, epoch, step / count))
        mx.random.seed(hash((self.settings.seed, epoch, step)) % 2**31)  # so that a resumed run draws the same
        losses, many = [], len(self.devices)
        shares = split(batch, many * self.turns.count)
        self.turns.begin()
        for turn in range(self.turns.count):
            totals = []
            with mx.autograd.record():
                for device, share in zip(self.devices, shares[turn * many : (turn + 1) * many]):
                    losses.append(self.objective(share, device))
                    images = share[0].shape[0] * (share[0].shape[1] if share[0].ndim == 5 else 1)
                    totals.append(sum(losses[-1].values()) * images)
            mx.autograd.backward(totals)
            self.turns.end()
        self.trainer.step(self.settings.batch)
        values = {
            name: float(np.mean([loss[name].asscalar() for loss in losses])) for name in losses[0]
        }  # waits for the devices
        total = sum(values.values())
        if not math.isfinite(total):
            raise self._diverged(f"the loss is {total} at epoch {epoch}, step {step}; images: {', '.join(ids)}")
        shown = dict(lr=self.trainer.learning_rate, loss=total, **values)
        self.run.log(epoch=epoch, step=step, **shown, seconds=round(time.monotonic() - began, 4))
        if self.events:
            self.events.write(epoch * count + step, shown)
        self.progress(epoch, step, count, total)

    def running_statistics(self):
        """{`aux:NAME`: (shares, C)}: batch normalisation's statistics on every device of every worker; all call it."""
        parameters = self.objective.net.collect_params()
        names = [name for name in parameters if name.endswith(("_moving_mean", "_moving_var"))]
        if not names:
            return {}
        mx.nd.waitall()  # they are written in the backward pass, unseen by a reader
        own = [np.concatenate([parameters[n].data(device).asnumpy() for n in names]) for device in self.devices]
        everywhere = self.workers.gather("running statistics", np.stack(own))  # (shares, sum of C)
        ends = np.cumsum([parameters[name].shape[0] for name in names])
        return {f"aux:{name}": part for name, part in zip(names, np.split(everywhere, ends[:-1], axis=1))}

    def arrays(self):
        """The network's parameters, running statistics their mean over devices and workers; those of each, if several, as
        `share:I:aux:NAME`. Diverged where they hold NaN, which ReLU and max pooling on a GPU hide from the loss."""
        arrays, shares = named_arrays(self.objective.net), {}
        bad = not_finite(arrays)
        if bad:
            raise self._diverged(f"{len(bad)} parameters hold NaN or infinite values, such as {bad[0]}")
        if self.workers.count * len(self.devices) > 1:
            for name, rows in self.running_statistics().items():
                if self.workers.count > 1 and (rows != rows[0]).any():  # else frozen: their mean would round
                    arrays[name] = mx.nd.array(sum(rows) / len(rows), dtype=rows.dtype)
                shares.update({f"share:{number}:{name}": row for number, row in enumerate(rows)})
        return arrays, shares

    def save_state(self, epoch, step):
        """Write what the run needs to go on from (epoch, step); all workers call it, the first writes. Errors of arrays."""
        arrays, updates = optimizer_arrays(self.trainer)
        parameters, shares = self.arrays()
        arrays.update({name: value.asnumpy() for name, value in parameters.items()})
        self.run.save_state({**arrays, **shares}, epoch=epoch, step=step, updates=updates)

    def _diverged(self, what):
        good = self.run.checkpoints()
        return Diverged(f"{what}; last good checkpoint: {good[-1] if good else 'none yet'}. A smaller --lr may help.")

    def resume(self):
        """Restore the state of the run folder, if any: (epoch, step) to go on from; ValueError where workers differ."""
        state = self.run.load_state()
        self.workers.compare({**(self.run.identity or {}), "state": None if state is None else state[1]})
        if state is None:
            if len(self.run.checkpoints()) > 1:  # one may be there before the first state
                raise FileNotFoundError(f"{self.run.state_path}: missing, though several epochs were trained there")
            self.run.cut_log(0, 0)
            return 0, 0
        arrays, numbers = state
        for name, parameter in self.objective.net.collect_params().items():
            key = next((kind + name for kind in ("arg:", "aux:") if kind + name in arrays), None)
            if key is None or arrays[key].shape != parameter.shape:
                there = "it lacks it" if key is None else f"found {arrays[key].shape}"
                raise ValueError(f"{self.run.state_path}: expected {name} of shape {parameter.shape}, {there}")
            parameter.set_data(mx.nd.array(arrays[key], dtype=arrays[key].dtype))
            several = sum(name.startswith("share:") and name.endswith(":" + key) for name in arrays)
            for number, device in enumerate(self.devices, self.workers.rank * len(self.devices)):
                own = arrays.get(f"share:{number}:{key}")  # older states, and those of one device in turns, have the mean only
                if own is not None and several == self.workers.count * len(self.devices):
                    parameter.data(device)[:] = mx.nd.array(own, ctx=device, dtype=own.dtype)
        if numbers["updates"]:
            restore_optimizer(self.trainer, arrays, numbers["updates"], self.devices)
        self.run.cut_log(numbers["epoch"], numbers["step"])
        log.info("resumed at epoch %d, step %d", numbers["epoch"], numbers["step"])
        return numbers["epoch"], numbers["step"]


def split(batch, parts):
    """Cut every array of a batch along its first axis into `parts` equal shares; ValueError where it does not go."""
    count = len(batch[0])
    if count % parts:
        raise ValueError(f"devices: {count} groups or images cannot be shared by {parts} devices")
    size = count // parts
    return [
        tuple(None if array is None else array[part * size : (part + 1) * size] for array in batch)
        for part in range(parts)
    ]
