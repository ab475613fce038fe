"""The cross-image affinity module (CIAN paper, "The Cross-Image Affinity Module", Eq. 1-5)."""
from cian.base.runtime import mx
from cian.models.layers import BatchNorm, conv

SIMILARITIES = ("dot", "cosine")
MERGES = ("max", "avg")


class Affinity(mx.gluon.HybridBlock):
    """Residual of features from the pixels of a reference: (N, C, h, w) -> (N, C, h, w), self affinity when called.

    similarity: "dot" is Eq. 1, not divided by sqrt(d) as published; "cosine" normalises queries and keys first.
    """

    def __init__(self, channels, similarity="dot"):
        super().__init__(prefix="")
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity: {similarity!r}, expected one of {', '.join(SIMILARITIES)}")
        self._cosine = similarity == "cosine"
        width = channels // 2
        normal = mx.init.Normal(0.01)  # paper, "Reproducibility"
        self.query = conv("conv_embed_q", width, channels, 1, weight_init=normal)
        self.key = conv("conv_embed_k", width, channels, 1, weight_init=normal)
        self.value = conv("conv_embed_v", width, channels, 1, weight_init=normal)
        self.pool = mx.gluon.nn.MaxPool2D(3, 2, 1)
        self.out = conv("conv_out", channels, width, 1, weight_init=normal)
        self.bn = BatchNorm("bn_out", channels, frozen=False)

    def embed(self, F, x):
        """(N, C, h, w) -> queries (N, D, hw), keys and values (N, D, L) of the pooled map, D = C / 2."""
        query, key, value = self.query(x), self.pool(self.key(x)), self.pool(self.value(x))
        return [F.reshape(e, (0, 0, -1)) for e in (query, key, value)]

    def compare(self, F, query, key):
        """Queries (N, D, hw) and keys (N, D, L), of unit length where the similarity is the cosine."""
        if self._cosine:
            return F.L2Normalization(query, mode="channel"), F.L2Normalization(key, mode="channel")
        return query, key

    def weights(self, F, query, key):
        """Normalised affinity of queries (N, D, hw) and keys (N, D, L): (N, hw, L), its last axis sums to 1 (Eq. 1, 2)."""
        query, key = self.compare(F, query, key)
        return F.softmax(F.batch_dot(query, key, transpose_a=True), axis=-1)  # over the reference's pixels

    def message(self, F, query, key, value):
        """Sum over the reference's pixels of normalised affinity x value: (N, D, hw) (Eq. 1-3)."""
        return F.batch_dot(value, self.weights(F, query, key), transpose_b=True)  # (N, D, L) x (N, hw, L)'

    def published_message(self, F, query, key, value):
        """As `message`, in the published order of axes, whose rounding the golden files hold.

        Training in groups needs it: the arg max of a completion target (Eq. 7) can turn on the last bit. On a CPU MXNet's
        softmax over the last axis is many times faster, so single images use that.
        """
        query, key = self.compare(F, query, key)
        affinity = F.softmax(F.batch_dot(key, query, transpose_a=True), axis=1)  # (N, L, hw), over the reference's pixels
        return F.batch_dot(value, affinity)  # (N, D, L) x (N, L, hw)

    def project(self, F, message, like):
        """Message (N, D, hw) -> residual (N, C, h, w), h and w those of `like` (Eq. 4)."""
        message = F.reshape_like(message, like, lhs_begin=2, lhs_end=3, rhs_begin=2, rhs_end=4)  # hw -> h, w
        return self.bn(self.out(message))

    def hybrid_forward(self, F, x):
        return self.project(F, self.message(F, *self.embed(F, x)), x)

    def group_messages(self, F, x, group_size, merge, with_self):
        """Self and cross messages, each (P G, D, hw), of features (P G, C, h, w) whose groups are consecutive.

        The references of an image are the other members of its group; `merge` combines their messages, and the image's
        own where `with_self` (Eq. 5).
        """
        query, key, value = self.embed(F, x)
        own = self.published_message(F, query, key, value)
        messages = []
        for shift in range(1, group_size):
            rolled = [roll(F, x, group_size, shift) for x in (key, value)]
            messages.append(self.published_message(F, query, *rolled))
        if with_self:
            messages.append(own)
        merged = messages[0]
        for message in messages[1:]:
            merged = F.maximum(merged, message) if merge == "max" else merged + message
        return own, merged if merge == "max" else merged / len(messages)


def roll(F, x, group_size, shift):
    """Exchange images within their groups: member g of (P G, D, L) gets member (g + shift) mod G."""
    x = F.reshape(x, (-4, -1, group_size, -2))  # (P G, D, L) -> (P, G, D, L)
    x = F.concat(F.slice_axis(x, axis=1, begin=shift, end=None), F.slice_axis(x, axis=1, begin=0, end=shift), dim=1)
    return F.reshape(x, (-3, -2))  # -> (P G, D, L)
