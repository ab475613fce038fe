"""The shares of a batch worked off one after the other on fewer devices, with the mathematics of as many devices as shares.

Batch statistics and the means of losses are those of a share, gradients are summed over the shares, and running statistics are
the mean over the shares of what each makes of those before the step: N shares on one device train as N devices do, in the
memory of one share.
"""

from cian.base.runtime import mx
from cian.models.checkpoint import running_statistics


class Turns:
    """Sums gradients and running statistics over the `count` turns of a step, on every device; with one turn it does nothing.

    Gradients are summed in arrays of their own, not by MXNet's grad_req "add", which group normalisation refuses.
    """

    def __init__(self, net, count):
        self.count = count
        parameters = net.collect_params()
        self._trained = [parameter for parameter in parameters.values() if parameter.grad_req != "null"]
        self._statistics = [parameters[name] for name in running_statistics(net)]
        self._done = 0

    def end(self):
        """Take in the turn whose backward pass has been begun; after the last one gradients and statistics are those of all."""
        if self.count == 1:
            return
        mx.nd.waitall()  # batch normalisation writes its running statistics in the backward pass, unseen by a reader
        gradients = [gradient for parameter in self._trained for gradient in parameter.list_grad()]
        statistics = [value for parameter in self._statistics for value in parameter.list_data()]
        if not self._done:
            self._gradients, self._means = [g.copy() for g in gradients], [s / self.count for s in statistics]
        else:
            for total, gradient in zip(self._gradients, gradients):
                total += gradient
            for mean, value in zip(self._means, statistics):
                mean += value / self.count
        self._done = (self._done + 1) % self.count
        if self._done:
            for value, start in zip(statistics, self._start):
                value[:] = start
        else:
            for values, totals in ((gradients, self._gradients), (statistics, self._means)):
                for value, total in zip(values, totals):
                    value[:] = total

    def begin(self):
        """Keep the running statistics from before the step."""
        if self.count > 1:
            mx.nd.waitall()
            self._start = [value.copy() for parameter in self._statistics for value in parameter.list_data()]
