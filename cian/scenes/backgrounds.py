"""Backgrounds of the generated scenes and the clutter that lies on them: leaves, stones, twigs and grass.

None of it belongs to a class, and it is drawn independently of the classes in the scene. Some of the clutter has the
colours of the things (autumn leaves, brown stones), so that colour alone does not tell thing from background.
"""
import cv2
import numpy as np

from cian.scenes.drawing import Sketch, curve, hsv, mix, noise, ramp


def _grid(shape):
    """x (1, W) and y (H, 1) in 0..1, float32."""
    height, width = shape
    return np.linspace(0, 1, width, dtype=np.float32)[None, :], np.linspace(0, 1, height, dtype=np.float32)[:, None]


def _meadow(rng, shape):
    """Grass seen from above: a mottled ground and many blades."""
    unit = min(shape) / 100
    hue = rng.uniform(78, 112)
    ground = mix(hsv(hue - 10, 0.55, 0.24), hsv(hue, 0.6, 0.42), noise(rng, shape, 30 * unit))
    canvas = np.ascontiguousarray(ground, dtype=np.float32)
    count, lean = 650, rng.uniform(-0.5, 0.5)
    foot = rng.random((count, 2)) * (shape[1], shape[0] * 1.15)
    foot = foot[np.argsort(foot[:, 1])]
    length, width = rng.uniform(8, 20, count) * unit, rng.uniform(0.5, 1.2, count) * unit
    bend = lean + rng.normal(0, 0.5, count)
    tip = foot + np.stack([np.sin(bend) * length, -np.cos(bend) * length], axis=1)
    middle = (foot + tip) / 2 + np.stack([-bend * length * 0.12, np.zeros(count)], axis=1)
    side = np.stack([width, np.zeros(count)], axis=1)
    blades = np.stack([foot - side, middle - 0.7 * side, tip, middle + 0.7 * side, foot + side], axis=1)
    blades = np.round(blades * 16).astype(np.int32)  # (count, 5, 2), four binary digits after the point
    tones = rng.uniform(0.30, 0.62, count)
    for blade, tone, tint in zip(blades, tones, rng.uniform(-12, 8, count)):
        cv2.fillPoly(canvas, [blade], hsv(hue + tint, 0.62, tone).tolist(), cv2.LINE_AA, 4)
    return canvas


def _sand(rng, shape):
    """Rippled sand."""
    unit = min(shape) / 100
    x, y = _grid(shape)
    angle = rng.uniform(-0.6, 0.6)
    warp = noise(rng, shape, 45 * unit)
    ripple = np.sin((y * np.float32(np.cos(angle)) + x * np.float32(np.sin(angle))) * rng.uniform(45, 75) + 9 * warp)
    grain = rng.normal(0, 0.05, shape).astype(np.float32)
    light = 0.86 + 0.06 * ripple * noise(rng, shape, 60 * unit, 1) + 0.14 * (noise(rng, shape, 50 * unit) - 0.5) + grain
    return hsv(rng.uniform(33, 44), rng.uniform(0.25, 0.38), 0.88) * light[:, :, None]


def _water(rng, shape):
    """Shallow water with the light net of its waves."""
    unit = min(shape) / 100
    hue = rng.uniform(172, 200)
    net = sum(1 - np.abs(2 * noise(rng, shape, cell * unit, 2) - 1) for cell in (26, 17)) / 2
    base = mix(hsv(hue + 10, 0.62, 0.42), hsv(hue, 0.45, 0.70), noise(rng, shape, 70 * unit))
    return mix(base, hsv(hue - 10, 0.12, 0.97), 0.6 * ramp(net, 0.80, 1.0))


def _forest(rng, shape):
    """A brown forest floor covered with fallen leaves."""
    unit = min(shape) / 100
    canvas = mix(hsv(26, 0.5, 0.16), hsv(30, 0.45, 0.36), noise(rng, shape, 12 * unit, 4))
    scene = canvas * (0.9 + 0.2 * rng.random(shape, dtype=np.float32))[:, :, None]
    for _ in range(9):
        one = leaf(rng, rng.uniform(6, 12) * unit, rng.uniform(14, 42), rng.uniform(0.28, 0.5))
        for _ in range(3):  # the same leaf lies in several places, turned
            one.colour, one.alpha = (np.ascontiguousarray(np.rot90(field)) for field in (one.colour, one.alpha))
            place(scene, one, rng.random(2) * shape[::-1])
    return scene


def _cobbles(rng, shape):
    """A pavement of rounded stones (cells of a jittered grid, each shaded by its distance from the seam)."""
    unit = min(shape) / 100
    step = rng.uniform(15, 24) * unit
    rows, columns = int(shape[0] / step) + 3, int(shape[1] / step) + 3
    row, column = np.mgrid[0:rows, 0:columns]
    points = np.stack([column + 0.5 * (row % 2), row], axis=2).reshape(-1, 2) - 0.75  # (rows * columns, 2)
    points = points + rng.uniform(-0.2, 0.2, points.shape)
    pixels = np.round(points * step).astype(int) + int(2 * step)
    seeds = np.full((shape[0] + int(4 * step), shape[1] + int(4 * step)), 255, np.uint8)
    seeds[np.clip(pixels[:, 1], 0, seeds.shape[0] - 1), np.clip(pixels[:, 0], 0, seeds.shape[1] - 1)] = 0
    _, cell = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    margin = int(2 * step)
    cell = cell[margin:margin + shape[0], margin:margin + shape[1]]
    seam = (np.abs(cv2.Laplacian(cell.astype(np.float32), cv2.CV_32F)) < 0.5).astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(seam, cv2.DIST_L2, 5) / (0.26 * step), 1)
    depth = cv2.GaussianBlur(depth, (0, 0), 0.05 * step)
    slope = cv2.Sobel(depth, cv2.CV_32F, 1, 0) + cv2.Sobel(depth, cv2.CV_32F, 0, 1)
    tone = rng.uniform(0.75, 1.1, int(cell.max()) + 1).astype(np.float32)[cell]
    light = tone * (0.45 + 0.55 * depth) + 0.35 * np.clip(slope * unit, -0.6, 0.6)
    light = light * (0.85 + 0.3 * noise(rng, shape, 8 * unit))
    return hsv(rng.uniform(20, 230), rng.uniform(0.03, 0.13), 0.62) * light[:, :, None]


def _sky(rng, shape):
    """A sky with clouds over hills."""
    unit = min(shape) / 100
    x, y = _grid(shape)
    hue = rng.uniform(200, 216)
    scene = mix(hsv(hue, 0.58, 0.80), hsv(hue - 8, 0.2, 0.96), np.broadcast_to(y, shape))
    clouds = noise(rng, shape, 55 * unit, 5)
    white = np.float32([0.97, 0.97, 0.98]) * (0.88 + 0.12 * clouds)[:, :, None]
    scene = mix(scene, white, 0.9 * ramp(clouds, 0.48, 0.75))
    foot = rng.uniform(0.55, 0.85)
    for k in range(3):  # from the far, pale ridge to the near one
        ridge = foot + 0.1 * k + 0.05 * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 6))
        ridge = ridge + 0.03 * np.sin(x * rng.uniform(10, 20))
        tone = mix(hsv(rng.uniform(90, 130), 0.3 + 0.12 * k, 0.62 - 0.1 * k), hsv(hue, 0.25, 0.85), 0.45 - 0.2 * k)
        texture = 0.8 + 0.4 * noise(rng, shape, (6 + 4 * k) * unit, 4)
        scene = mix(scene, tone * texture[:, :, None], ramp(y - ridge, -0.004, 0.004))
    return scene


def _bark(rng, shape):
    """Weathered wood: long grain with knots of dark and light."""
    unit = min(shape) / 100
    height, width = shape
    fibre = noise(rng, (height, max(width // 14, 4)), 3 * unit, 4)
    fibre = cv2.resize(fibre, (width, height), interpolation=cv2.INTER_CUBIC)
    warp = noise(rng, shape, 60 * unit, 2)
    y = np.arange(height, dtype=np.float32)[:, None] + 26 * unit * warp
    x = np.broadcast_to(np.arange(width, dtype=np.float32)[None, :], shape)
    grain = cv2.remap(fibre, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    hue, saturation = rng.uniform(18, 38), rng.uniform(0.15, 0.4)
    scene = mix(hsv(hue, saturation, 0.28), hsv(hue + 6, saturation, 0.72), grain * (0.7 + 0.3 * warp))
    return np.ascontiguousarray(scene if rng.random() < 0.5 else scene[:, ::-1])


BACKGROUNDS = {"bark": _bark, "cobbles": _cobbles, "forest": _forest, "meadow": _meadow, "sand": _sand,
               "sky": _sky, "water": _water}


def leaf(rng, radius, hue, value):
    """A Sketch of a leaf with its veins."""
    sketch = Sketch(radius, rng.uniform(0, 360))
    width = rng.uniform(0.28, 0.5)
    outline = curve([(-0.85, 0), (-0.35, -width), (0.3, -width * 0.85), (0.95, 0), (0.3, width * 0.85), (-0.35, width)])
    veins = ramp(np.cos((sketch.x - np.abs(sketch.y)) * 22), 0.75, 1.0) * 0.5 + ramp(np.abs(sketch.y), 0.05, 0.01)
    colour = mix(hsv(hue, 0.72, value), hsv(hue + 8, 0.5, value * 1.35), np.clip(veins, 0, 1))
    sketch.paint(sketch.stroke(np.array([(-1.02, 0.04), (-0.8, 0.0)]), width=0.05), hsv(hue, 0.6, value * 0.8))
    colour = colour * (0.85 + 0.3 * noise(rng, sketch.x.shape, radius * 0.5))[:, :, None]
    sketch.solid(sketch.area(outline), colour, bulge=0.35, gloss=0.06)
    return sketch


def stone(rng, radius):
    """A Sketch of a pebble."""
    sketch = Sketch(radius, rng.uniform(0, 360))
    a = np.arange(9) * (2 * np.pi / 9)
    outline = np.stack([np.cos(a) * 0.95, np.sin(a) * rng.uniform(0.5, 0.85)], axis=1) * rng.uniform(0.88, 1.0, (9, 1))
    tone = hsv(rng.uniform(15, 60), rng.uniform(0.03, 0.35), rng.uniform(0.4, 0.85))
    colour = tone * (0.75 + 0.5 * noise(rng, sketch.x.shape, radius * 0.4, 4))[:, :, None]
    sketch.solid(sketch.area(curve(outline)), colour, bulge=0.8, gloss=0.1)
    return sketch


def twig(rng, radius):
    """A Sketch of a thin branch with two side shoots."""
    sketch = Sketch(radius, rng.uniform(0, 360))
    main = curve(np.stack([np.linspace(-0.95, 0.95, 5), rng.uniform(-0.12, 0.12, 5)], axis=1), closed=False)
    shoots = [np.array([main[k], main[k] + (0.3, side * 0.32)]) for k, side in ((8, -1), (18, 1))]
    wood = hsv(rng.uniform(20, 35), 0.45, rng.uniform(0.25, 0.45))
    sketch.solid(sketch.stroke(*shoots, width=0.05), wood, gloss=0.05)
    sketch.solid(sketch.stroke(main, width=0.09), wood * 1.1, gloss=0.05)
    return sketch


def tuft(rng, radius):
    """A Sketch of a few blades of grass from one root."""
    sketch = Sketch(radius)
    hue = rng.uniform(75, 115)
    for angle in np.sort(rng.uniform(-0.75, 0.75, 6)):
        tip = np.array([np.sin(angle) * 0.95, 0.7 - 1.6 * np.cos(angle) * rng.uniform(0.75, 1)])
        middle = np.array([tip[0] * 0.35, 0.1])
        blade = curve([(-0.05, 0.8), tuple(middle - (0.06, 0)), tuple(tip), tuple(middle + (0.06, 0)), (0.05, 0.8)])
        colour = hsv(hue + rng.uniform(-8, 8), 0.65, rng.uniform(0.4, 0.65))
        sketch.solid(sketch.area(blade), colour, gloss=0.05, shadow=0.2)
    return sketch


def clutter(rng, unit):
    """A Sketch of one random piece of clutter, 6 to 16 `unit` in radius."""
    radius = rng.uniform(6, 16) * unit
    choice = int(rng.integers(0, 5))
    if choice == 0:
        return leaf(rng, radius, rng.uniform(75, 120), rng.uniform(0.4, 0.6))
    if choice == 1:
        return leaf(rng, radius, rng.uniform(-5, 45), rng.uniform(0.55, 0.85))
    return (stone, twig, tuft)[choice - 2](rng, radius)


def overlap(shape, side, centre):
    """Where a square of `side` pixels with its centre at pixel (x, y) meets a picture of `shape`.

    Returns (rows, columns) slices of the picture and of the square; they are empty where the two do not meet.
    """
    ours, theirs = [], []
    for middle, length in ((centre[1], shape[0]), (centre[0], shape[1])):
        start = int(np.floor(middle - side / 2))
        first, last = min(max(start, 0), length), min(max(start + side, 0), length)
        ours.append(slice(first, last))
        theirs.append(slice(first - start, last - start))
    return tuple(ours), tuple(theirs)


def place(scene, sketch, centre, shadow=0.45):
    """Lay a sketch with its centre at pixel (x, y) on `scene`, float32 (H, W, 3), in place, with a soft shadow."""
    margin = int(0.3 * sketch.radius)  # the shadow reaches beyond the sketch
    side = sketch.side + 2 * margin
    move = np.float32([[1, 0, margin + 0.05 * sketch.radius], [0, 1, margin + 0.09 * sketch.radius]])
    fallen = sketch.blur(cv2.warpAffine(sketch.alpha, move, (side, side)), 0.06)
    ours, theirs = overlap(scene.shape, side, centre)
    if fallen[theirs].size:
        scene[ours] *= cv2.merge([1 - shadow * fallen[theirs]] * 3)
    ours, theirs = overlap(scene.shape, sketch.side, centre)
    if sketch.alpha[theirs].size:
        scene[ours] = mix(scene[ours], sketch.colour[theirs], sketch.alpha[theirs])
