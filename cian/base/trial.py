"""What the trainings need of a device, tried on small arrays of which the results are known: tools/doctor.py, tests/gpu.py."""

import numpy as np

from cian.base.runtime import mx


class Ramp(mx.gluon.HybridBlock):
    """relu(2 x - 1): two operators of a kind that MXNet fuses."""

    def hybrid_forward(self, F, x):
        return F.relu(2 * x - 1)


def convolution(context):
    """Value and gradient of a convolution of ones (1, 3, 4, 4) by ones: 27, and how many windows cover a pixel."""
    x = mx.nd.ones((1, 3, 4, 4), ctx=context)
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.Convolution(x, mx.nd.ones((1, 3, 3, 3), ctx=context), no_bias=True, kernel=(3, 3), num_filter=1)
    y.backward()
    covered = np.outer([1, 2, 2, 1], [1, 2, 2, 1])
    return np.all(y.asnumpy() == 27) and np.array_equal(x.grad.asnumpy()[0, 0], covered)


def hybridized(context):
    """A hybridized block of two operators."""
    net = Ramp(prefix="")
    net.hybridize()
    return np.array_equal(net(mx.nd.array([0, 1, 2], ctx=context)).asnumpy(), [0, 1, 3])


def batch_dot(context):
    """Products of matrices, exact to float32: TF32 would lose the last digit of 4097."""
    left = mx.nd.array([[[4097.0, 0], [0, 1]]], ctx=context)
    return np.array_equal(mx.nd.batch_dot(left, mx.nd.ones((1, 2, 2), ctx=context)).asnumpy()[0], [[4097, 4097], [1, 1]])


def syevd(context):
    """Eigenvalues of [[2, 1], [1, 2]], 1 and 3, and the eigenvector of the larger one."""
    vectors, values = mx.nd.linalg.syevd(mx.nd.array([[[2.0, 1], [1, 2]]], ctx=context))
    return np.allclose(values.asnumpy(), [[1, 3]]) and np.allclose(np.abs(vectors.asnumpy()[0, 1]), 0.5**0.5)


#: name -> function(context), true where the device computes rightly
TRIALS = {"convolution": convolution, "hybridized block": hybridized, "batch_dot": batch_dot, "linalg.syevd": syevd}


def fault(context):
    """What the device cannot do, as one line, or None. One that has no machine code for the card fails at the first trial."""
    for name, right in TRIALS.items():
        try:
            if not right(context):
                return f"{name} gives a wrong result"
        except mx.MXNetError as error:
            return f"{name}: {str(error).strip().splitlines()[-1]}"
    return None
