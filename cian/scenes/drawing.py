"""Drawing for the generated scenes: noise, outlines, and a sketch on which one thing is painted with light and shadow.

Everything is drawn twice as large as it is shown (the scene is averaged down at the end). Colours are float32
RGB in 0..1. A sketch has its own coordinates: x to the right, y down, the thing within the circle of radius 1 around
the origin; it may be turned and mirrored, while the light always falls from the upper left of the picture.
"""
import colorsys

import cv2
import numpy as np

_LIGHT = np.array([-0.46, -0.60, 0.65], np.float32)  # direction towards the light; z towards the viewer
_HALF = _LIGHT + np.float32([0, 0, 1])  # half way between the light and the viewer
_HALF = _HALF / np.float32(np.linalg.norm(_HALF))
_FRACTION = 4  # binary digits of the fixed-point coordinates OpenCV draws with


def hsv(hue, saturation, value):
    """RGB float32 (3,) of a hue in degrees and saturation and value in 0..1."""
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)), np.float32)


def mix(first, second, weight):
    """(1 - weight) * first + weight * second; a (H, W) weight is spread over the colour axis."""
    weight = np.asarray(weight, np.float32)
    if weight.ndim == 2:
        weight = cv2.merge([weight] * 3)  # faster than broadcasting over an axis of 3
    result = np.subtract(second, first) * weight
    result += first
    return result


def ramp(values, low, high):
    """0 below `low`, 1 above `high`, smooth between (low > high turns it round); float32."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(rng, shape, cell, octaves=3):
    """Fractal noise float32 (H, W) in 0..1; `cell` is the size in pixels of its largest features."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = max(cell / 2 ** octave, 1.5)
        grid = rng.random((int(height / step) + 2, int(width / step) + 2), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2 ** octave
    return cv2.normalize(total, None, 0, 1, cv2.NORM_MINMAX)


def ellipse(x, y, rx, ry, degrees=0.0):
    """Outline (40, 2) of an ellipse with centre (x, y), radii rx and ry, turned by `degrees`."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    a = np.deg2rad(degrees)
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + u * np.cos(a) - v * np.sin(a), y + u * np.sin(a) + v * np.cos(a)], axis=1)


def curve(points, closed=True, samples=8):
    """Smooth line (n, 2) through `points` (k, 2) (Catmull-Rom spline)."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, samples, endpoint=False)[None, :, None]
    a, b, c, d = (p[i:len(p) - 3 + i, None] for i in range(4))
    line = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t ** 2 + (3 * b - a - 3 * c + d) * t ** 3)
    line = line.reshape(-1, 2)  # (segments, samples, 2) -> (n, 2)
    return line if closed else np.concatenate([line, p[-1:]])


def mirrored(points):
    """A closed outline from its right half, listed from top to bottom: the left half is added."""
    points = np.asarray(points, np.float64)
    left = points[::-1] * (-1, 1)
    return np.concatenate([points, left[np.abs(left[:, 0]) > 1e-9]])


def polar(x, y):
    """Distance from the origin and angle in radians (0..2 pi) of float32 fields x and y; quicker than NumPy's."""
    return cv2.cartToPolar(np.ascontiguousarray(x), np.ascontiguousarray(y))


def scallops(x, y, width, height):
    """Rows of overlapping scales, rims towards +y: float32 in 0..1, 1 on the rims and 0 under the scale above."""
    v = y * np.float32(1 / height)
    row = np.floor(v)
    u = x * np.float32(1 / width) + row * np.float32(0.5)
    u -= np.floor(u) + np.float32(0.5)
    radius = cv2.magnitude(u * np.float32(1.5), v - row)
    return ramp(np.abs(radius - np.float32(0.82)), 0.24, 0.02)


class Sketch:
    """One thing, painted on a square of its own.

    radius: size in pixels of one unit; degrees: turn of the thing; mirror: flip left and right.
    colour float32 (n, n, 3), alpha float32 (n, n) coverage, part float32 (n, n) coverage of the distinctive part;
    x, y, r float32 (n, n): the sketch coordinates of each pixel and its distance from the origin.
    """

    def __init__(self, radius, degrees=0.0, mirror=False):
        self.radius = float(radius)
        self.side = int(2.4 * radius) + 2  # corners of wings and limbs reach a little beyond the unit circle
        a = np.deg2rad(degrees)
        self._matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        if mirror:
            self._matrix[:, 0] *= -1
        axis = (np.arange(self.side) + 0.5 - self.side / 2) / radius
        inverse = np.linalg.inv(self._matrix).astype(np.float32)
        u, v = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))
        self.x = inverse[0, 0] * u + inverse[0, 1] * v
        self.y = inverse[1, 0] * u + inverse[1, 1] * v
        self.r = cv2.magnitude(self.x, self.y)
        self.colour = np.zeros((self.side, self.side, 3), np.float32)
        self.alpha = np.zeros((self.side, self.side), np.float32)
        self.part = np.zeros((self.side, self.side), np.float32)

    def _pixels(self, points):
        pixels = np.asarray(points) @ self._matrix.T * self.radius + self.side / 2 - 0.5
        return np.round(pixels * 2 ** _FRACTION).astype(np.int32)

    def area(self, *outlines):
        """Coverage float32 (n, n) of the union of closed outlines."""
        mask = np.zeros((self.side, self.side), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self._pixels(outline)], 255, cv2.LINE_AA, _FRACTION)
        return mask.astype(np.float32) / 255

    def stroke(self, *lines, width):
        """Coverage float32 (n, n) of open lines `width` units wide."""
        mask = np.zeros((self.side, self.side), np.uint8)
        thickness = max(int(round(width * self.radius)), 1)
        cv2.polylines(mask, [self._pixels(line) for line in lines], False, 255, thickness, cv2.LINE_AA, _FRACTION)
        return mask.astype(np.float32) / 255

    def blur(self, field, width):
        """`field` blurred by a Gaussian of standard deviation `width` units."""
        return cv2.GaussianBlur(field, (0, 0), max(width * self.radius, 0.5))

    def paint(self, mask, colour, part=False, inside=False):
        """Lay `colour` ((3,) or (n, n, 3)) over what is there; inside: only where something is there already."""
        box = _window(mask)
        self._lay(box, mask[box], _within(colour, box), part, inside)

    def _lay(self, box, mask, colour, part, inside=False):
        if inside:
            mask = mask * self.alpha[box]
        else:
            self.alpha[box] += mask * (1 - self.alpha[box])
        self.colour[box] = mix(self.colour[box], np.clip(colour, 0, 1), mask)
        self.part[box] += ((1.0 if part else 0.0) - self.part[box]) * mask

    def solid(self, mask, colour, bulge=1.0, gloss=0.1, shadow=0.0, part=False):
        """`paint` with light on a rounded surface, and a soft shadow of strength 0..1 on what lies beneath.

        bulge: 1 is round from rim to middle, small values are flat with a rounded rim; gloss: the highlight's strength.
        """
        if shadow:
            box = _window(mask, int(0.22 * self.radius))
            move = np.float32([[1, 0, 0.03 * self.radius], [0, 1, 0.05 * self.radius]])
            fallen = cv2.warpAffine(mask[box], move, mask[box].shape[::-1])
            self.colour[box] *= (1 - shadow * self.blur(fallen, 0.05))[:, :, None]
        box = _window(mask, 2)
        diffuse, highlight = _relief(mask[box], bulge)
        light = cv2.merge([0.42 + 0.78 * diffuse] * 3)
        self._lay(box, mask[box], _within(colour, box) * light + cv2.merge([gloss * highlight] * 3), part)


def _window(mask, margin=0):
    """Slices (rows, columns) around what is not 0 in a mask."""
    x, y, width, height = cv2.boundingRect((mask > 0).view(np.uint8))
    return (slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin))


def _within(colour, box):
    """A colour field (n, n, 3) cut to a window; a single colour (3,) stays as it is."""
    colour = np.asarray(colour, np.float32)
    return colour[box] if colour.ndim == 3 else colour


def _relief(mask, bulge):
    """Light on a cushion over `mask`: (diffuse, highlight), each float32 of the mask's shape in 0..1."""
    distance = cv2.distanceTransform(cv2.copyMakeBorder((mask > 0.5).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT),
                                     cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = max(float(distance.max()) * bulge, 1.0)
    t = np.minimum(distance / depth, 1)
    height = cv2.GaussianBlur(np.sqrt(t * (2 - t)) * depth, (0, 0), 0.16 * depth + 0.5)
    gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    length = np.sqrt(gx * gx + gy * gy + 1)
    diffuse = (_LIGHT[2] - _LIGHT[0] * gx - _LIGHT[1] * gy) / length
    highlight = np.clip((_HALF[2] - _HALF[0] * gx - _HALF[1] * gy) / length, 0, 1)
    for _ in range(5):
        highlight = highlight * highlight  # to the power of 32
    return np.clip(diffuse, 0, 1), highlight
