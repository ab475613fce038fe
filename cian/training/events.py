"""A training's curves as events for TensorBoard, in RUN/events, besides the log, by tensorboardX."""

FOLDER = "events"


class Events:
    """Writes numbers by step. `open` begins at a step: what a run that was stopped wrote of later ones does not count."""

    def __init__(self, folder):
        """folder: of the run. ModuleNotFoundError says what to install."""
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            raise ModuleNotFoundError("--tensorboard needs tensorboardX: pip install tensorboardX==2.6.2.2") from None
        self._make, self._folder, self._writer = SummaryWriter, folder / FOLDER, None

    def open(self, step):
        """Begin to write from step number `step` on."""
        self._writer = self._make(logdir=str(self._folder), purge_step=step or None)

    def write(self, step, values):
        """Write {name: number} of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self):
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
