"""Training losses as native operators (CIAN paper, Eq. 6-9), equal in value and gradient to the published ones.

Every loss is a mean over the pixels that count in the whole batch of a device (FIDELITY row 15). The published gradients are
those of this mean times the device's number of images; the training loop applies that factor. Losses and targets have the
dtype of the logits.
"""

from cian.base.runtime import mx

PIXELS_AT_LEAST = 1e-5  # the published bound on the number of pixels, against division by zero (FIDELITY row 17)
TERMS = ("ce_self", "ce_cross", "cp_self", "cp_cross")  # the four terms of Eq. 9
CLASS_SETS = ("seeds", "tags")


class Loss(mx.gluon.HybridBlock):
    """A loss whose further arguments are brought to the dtype of the first, the logits; symbols stay as they are."""

    def forward(self, logits, *others):
        if isinstance(logits, mx.nd.NDArray):
            others = [None if other is None else other.astype(logits.dtype, copy=False) for other in others]
        return super().forward(logits, *others)


def one_hot(F, label, classes):
    """Labels (N, h, w) -> (N, K, h, w) of their dtype; a label outside 0..K-1, such as 255, becomes all zeros."""
    return F.stack(*[label == k for k in range(classes)], axis=1)  # F.one_hot would need to be told the dtype


def cross_entropy(F, logits, target):
    """Mean over the pixels of a one-hot-or-zero target (N, K, h, w) of -log softmax(logits), result (1,) (Eq. 6 and 8)."""
    total = -F.sum(F.log_softmax(logits, axis=1) * target)  # softmax over classes
    return total / F.maximum(F.sum(target), PIXELS_AT_LEAST)


def completion_target(F, logits, allowed, classes):
    """Eq. 7: arg max of logits (N, K, h, w) as one-hot, zero where that class is not `allowed` (N, K, 1, 1); no gradient."""
    best = F.argmax(F.stop_gradient(logits), axis=1)  # (N, h, w)
    return F.broadcast_mul(one_hot(F, best, classes), allowed)


class CIANLoss(Loss):
    """Eq. 9: the chosen terms, each (1,), in the order of `terms`; their sum is the training loss.

    class_set: where the completion (Eq. 7) takes an image's classes from. "seeds", as published: the values present in its
    label crop, so background only if seeded. "tags", as in the paper: its image tags, and background.
    Called with self logits (N, K, h, w), label (N, h, w) of class indices and, where a term uses them, cross logits
    (N, K, h, w) and tags (N, K) of zeros and ones.
    """

    def __init__(self, classes, terms=TERMS, class_set="seeds"):
        super().__init__(prefix="")
        unknown = [term for term in terms if term not in TERMS]
        if unknown or not terms:
            raise ValueError(f"terms: {', '.join(unknown) or 'none'}, expected some of {', '.join(TERMS)}")
        if class_set not in CLASS_SETS:
            raise ValueError(f"class_set: {class_set!r}, expected one of {', '.join(CLASS_SETS)}")
        self._classes, self.terms, self._class_set = classes, tuple(terms), class_set

        self.needs_tags = class_set == "tags" and any(term.startswith("cp") for term in terms)

    def hybrid_forward(self, F, self_logits, label, cross_logits=None, tags=None):
        target = {"ce": one_hot(F, label, self._classes)}
        if any(term.startswith("cp") for term in self.terms):
            if self._class_set == "seeds":
                allowed = F.max(target["ce"], axis=(2, 3), keepdims=True)  # (N, K, 1, 1)
            else:
                allowed = F.reshape(tags, (0, 0, 1, 1))  # (N, K) -> (N, K, 1, 1)
            target["cp"] = completion_target(F, cross_logits, allowed, self._classes)
        logits = {"self": self_logits, "cross": cross_logits}
        return [cross_entropy(F, logits[term[3:]], target[term[:2]]) for term in self.terms]


class TagLoss(Loss):
    """Multi-label sigmoid loss: mean over images and classes of the binary cross entropy, logits and tags (N, C) -> (1,)."""

    def hybrid_forward(self, F, logits, tags):
        loss = (
            F.relu(logits) - logits * tags + F.Activation(-F.abs(logits), act_type="softrelu")
        )  # stable log(1 + e^-|x|)
        return F.reshape(F.mean(loss), (1,))
