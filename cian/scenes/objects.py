"""The six kinds of things in the generated scenes, each painted on a Sketch.

Each has a large part that looks much the same on every one of its kind (wings, scales, petals, shell, feathers) and a
small distinctive part (`Sketch.part`): a classifier needs the small part only, and a segmentation network has to find
the rest. As with real animals, the coat of the large part is nearly shared with other kinds (`_coat`): were it a class's
own, a class activation map would cover the whole thing. Proportions and pattern vary within a kind.
"""
import dataclasses
from typing import Callable

import cv2
import numpy as np

from cian.scenes.drawing import Sketch, curve, ellipse, hsv, mirrored, mix, noise, polar, ramp, scallops

_BLACK = np.array([0.07, 0.06, 0.07], np.float32)
_WHITE = np.array([0.97, 0.96, 0.93], np.float32)

_HUES = {"fish": (12, 28), "ladybird": (6, 22), "owl": (9, 25), "butterfly": (208, 232),
         "flower": (212, 236), "turtle": (204, 228)}


def _coat(name, sketch, rng):
    """The large part of a thing: its colour (3,), and that colour with the dark and light blotches that all have."""
    colour = hsv(rng.uniform(*_HUES[name]), rng.uniform(0.60, 0.80), rng.uniform(0.74, 0.88))
    blotches = noise(rng, sketch.x.shape, 0.16 * sketch.radius, 2)
    return colour, mix(colour * 0.55, mix(colour, _WHITE, 0.25) * 1.05, ramp(blotches, 0.3, 0.7))


def _rays(sketch, x, y, count):
    """Stripes that radiate from (x, y), `count` of them all around: float32 (n, n) in 0..1."""
    _, angle = polar(sketch.x - np.float32(x), sketch.y - np.float32(y))
    return 0.5 + 0.5 * np.sin(angle * np.float32(count))


def paint_butterfly(sketch, rng):
    """Blue wings with dark rims; distinctive: the body and two yellow eyespots on the hind wings."""
    wing, coat = _coat("butterfly", sketch, rng)
    spread = rng.uniform(0.92, 1.06)
    fore = [(0.03, -0.10), (0.28, -0.58), (0.62, -0.80), (0.84, -0.66), (0.80, -0.28), (0.62, -0.02), (0.2, 0.06)]
    hind = [(0.03, 0.0), (0.42, -0.04), (0.72, 0.14), (0.74, 0.48), (0.48, 0.78), (0.24, 0.62), (0.06, 0.25)]
    fore, hind = (curve(np.array(outline) * (spread, 1)) for outline in (fore, hind))
    _, angle = polar(np.abs(sketch.x), sketch.y)
    veins = ramp(np.abs(angle * 4.5 % 1 - 0.5), 0.40, 0.5) * ramp(sketch.r, 0.15, 0.35)
    for outline, tone in ((hind, 0.88), (fore, 1.0)):
        mask = sketch.area(outline, outline * (-1, 1))
        depth = sketch.blur(mask, 0.07)  # 0.5 at the rim, 1 well inside
        colour = mix(coat * tone, wing * 0.45, 0.35 * veins)
        colour = mix(colour, wing * 0.4, ramp(depth, 0.90, 0.70))
        sketch.solid(mask, colour, bulge=0.45, gloss=0.05, shadow=0.35)
    for side in (-1, 1):
        x, y = side * 0.45 * spread, 0.40
        for radius, tone in ((0.185, _BLACK), (0.155, hsv(46, 0.85, 0.98)), (0.085, _BLACK), (0.035, _WHITE)):
            sketch.paint(sketch.area(ellipse(x, y, radius, radius)), tone, part=True)
    for side in (-1, 1):
        feeler = curve([(side * 0.03, -0.34), (side * 0.10, -0.62), (side * 0.24, -0.84)], closed=False)
        sketch.paint(sketch.stroke(feeler, width=0.022), _BLACK, part=True)
        sketch.paint(sketch.area(ellipse(*feeler[-1], 0.03, 0.03)), _BLACK, part=True)
    trunk = curve(mirrored([(0, -0.36), (0.075, -0.22), (0.06, 0.05), (0.055, 0.35), (0, 0.52)]))
    bands = 0.5 + 0.5 * np.sin(sketch.y * 42)
    colour = mix(_BLACK * 2, hsv(40, 0.75, 0.75), bands * ramp(sketch.y, -0.1, 0.1))
    sketch.solid(sketch.area(trunk), colour, gloss=0.3, shadow=0.4, part=True)
    sketch.solid(sketch.area(ellipse(0, -0.36, 0.075, 0.075)), _BLACK * 2.2, gloss=0.4, part=True)


def paint_fish(sketch, rng):
    """Orange scales and fins; distinctive: the pale head with a dark band through a large eye."""
    body_colour, coat = _coat("fish", sketch, rng)
    height = rng.uniform(0.88, 1.12)
    fin_colour = body_colour * 0.88
    swing = rng.uniform(-0.08, 0.08)
    tail = [(0.50, 0.0), (0.72, -0.16), (0.95, -0.38 + swing), (0.88, swing), (0.95, 0.36 + swing), (0.72, 0.16)]
    dorsal = [(-0.42, -0.34), (-0.18, -0.66), (0.12, -0.64), (0.44, -0.46), (0.42, -0.20), (0.0, -0.30)]
    anal = [(0.02, 0.36), (0.18, 0.64), (0.40, 0.50), (0.42, 0.2)]
    for outline, centre in ((tail, (0.45, 0.0)), (dorsal, (0.0, 0.3)), (anal, (0.1, -0.1))):
        rays = _rays(sketch, *centre, 46)
        fin = sketch.area(curve(np.array(outline) * (1, height)))
        sketch.solid(fin, coat * (0.8 + 0.2 * rays)[:, :, None], bulge=0.3, gloss=0.05)
    outline = [(-0.94, 0.04), (-0.82, -0.14), (-0.50, -0.36), (-0.08, -0.45), (0.32, -0.30), (0.60, -0.10),
               (0.62, 0.08), (0.32, 0.30), (-0.08, 0.44), (-0.50, 0.36), (-0.82, 0.17)]
    mask = sketch.area(curve(np.array(outline) * (1, height)))
    scales = scallops(sketch.y, sketch.x, 0.13, 0.105)  # rims towards the tail
    colour = mix(coat, body_colour * 0.6, 0.3 * scales)
    gill = -0.46 + 0.14 * np.cos(sketch.y / height * 4.2)  # the head ends on this arc
    head = ramp(sketch.x - gill, 0.01, -0.01)
    colour = mix(colour, mix(_WHITE, hsv(200, 0.25, 0.75), ramp(sketch.y, 0.05, -0.35)), head)
    band = ramp(np.abs(sketch.x + 0.60), 0.085, 0.065) * ramp(np.abs(sketch.y), 0.31, 0.27)
    colour = mix(colour, hsv(225, 0.6, 0.2), band * head)
    rim = ramp(np.abs(sketch.x - gill), 0.035, 0.01)
    colour = mix(colour, body_colour * 0.4, 0.7 * rim)
    sketch.solid(mask, colour, gloss=0.25)
    sketch.part = np.maximum(sketch.part, mask * head)
    fin = curve([(-0.20, 0.08), (0.0, 0.04), (0.16, 0.20), (0.08, 0.32), (-0.10, 0.22)])
    colour = mix(fin_colour * 0.8, fin_colour * 1.15, _rays(sketch, -0.3, 0.02, 40))
    sketch.solid(sketch.area(fin), colour, bulge=0.4, shadow=0.35)
    for x, radius, tone in ((-0.60, 0.105, hsv(48, 0.55, 1.0)), (-0.61, 0.062, _BLACK), (-0.635, 0.022, _WHITE)):
        y = -0.10 if radius > 0.03 else -0.13
        sketch.paint(sketch.area(ellipse(x, y, radius, radius)), tone, part=True, inside=True)
    mouth = curve([(-0.93, 0.07), (-0.84, 0.10), (-0.77, 0.08)], closed=False)
    sketch.paint(sketch.stroke(mouth, width=0.022), hsv(10, 0.6, 0.3), part=True, inside=True)


def paint_flower(sketch, rng):
    """Two rings of blue petals; distinctive: the dark centre with a golden rim of stamens."""
    _, coat = _coat("flower", sketch, rng)
    count = int(rng.integers(6, 9))
    width = rng.uniform(0.25, 0.30) * 7 / count
    start = rng.uniform(0, 360)
    tint = coat * (1 - 0.12 * _rays(sketch, 0, 0, 12 * count))[:, :, None]
    for ring, (length, tone) in enumerate(((0.97, 0.84), (0.86, 1.0))):
        for k in range(count):
            a = np.deg2rad(start + 360 * (k + 0.5 * ring) / count + rng.uniform(-4, 4))
            reach = length * rng.uniform(0.92, 1.0)
            half = np.array([(0.10, 0.05), (0.45, width), (0.80, width * 0.95), (1.0, 0.05)])
            petal = curve(np.concatenate([half, half[::-1] * (1, -1)]) * (reach, 1))
            turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
            sketch.solid(sketch.area(petal @ turn), tint * tone, bulge=0.8, gloss=0.04, shadow=0.3)
    sketch.solid(sketch.area(ellipse(0, 0, 0.30, 0.30)), hsv(34, 0.9, 0.62), bulge=0.6, shadow=0.5, part=True)
    k = np.arange(90)
    radii, angles = 0.28 * np.sqrt((k + 0.5) / len(k)), k * np.deg2rad(137.508)  # golden angle, as in a sunflower
    rings = ((0.0, 0.11, hsv(75, 0.6, 0.55)), (0.11, 0.19, hsv(20, 0.7, 0.25)), (0.19, 0.3, hsv(46, 0.8, 1.0)))
    for low, high, tone in rings:
        chosen = (radii >= low) & (radii < high)
        dots = [ellipse(r * np.cos(a), r * np.sin(a), 0.022, 0.022)[::5] for r, a in zip(radii[chosen], angles[chosen])]
        sketch.paint(sketch.area(*dots), tone, part=True)


def paint_ladybird(sketch, rng):
    """A rust-red glossy shell with a few spots; distinctive: the black head and collar with white cheeks."""
    _, coat = _coat("ladybird", sketch, rng)
    girth = rng.uniform(0.94, 1.06)
    for side in (-1, 1):
        for y, reach, bend in ((-0.28, 0.86, -0.22), (0.12, 0.95, 0.06), (0.46, 0.76, 0.24)):
            leg = np.array([(0.35, y), (reach - 0.14, y + 0.4 * bend), (reach, y + bend)]) * (side, 1)
            sketch.paint(sketch.stroke(curve(leg, closed=False), width=0.065), _BLACK)
    for side in (-1, 1):
        feeler = curve([(side * 0.10, -0.78), (side * 0.20, -0.93), (side * 0.33, -0.97)], closed=False)
        sketch.paint(sketch.stroke(feeler, width=0.035), _BLACK, part=True)
    sketch.solid(sketch.area(ellipse(0, -0.72, 0.25, 0.19)), _BLACK * 2, gloss=0.4, part=True)
    for side in (-1, 1):
        sketch.paint(sketch.area(ellipse(side * 0.12, -0.80, 0.055, 0.05)), _WHITE, part=True)
    collar = sketch.area(curve(mirrored([(0, -0.74), (0.28, -0.70), (0.47, -0.50), (0.44, -0.36), (0, -0.30)])))
    cheeks = sketch.area(ellipse(0.33, -0.54, 0.10, 0.12, 30), ellipse(-0.33, -0.54, 0.10, 0.12, -30))
    sketch.solid(collar, mix(_BLACK * 1.8, _WHITE, cheeks), gloss=0.35, shadow=0.3, part=True)
    shell = [(0, -0.44), (0.36, -0.40), (0.66 * girth, -0.08), (0.68 * girth, 0.30), (0.46, 0.70), (0, 0.90)]
    dots = []
    for x, y in ((0.32, -0.10), (0.44, 0.28), (0.22, 0.56)):
        if rng.random() < 0.6:
            radius = rng.uniform(0.06, 0.10)
            dots += [ellipse(side * x + rng.uniform(-0.03, 0.03), y, radius, radius) for side in (-1, 1)]
    colour = mix(coat, _BLACK, sketch.area(*dots))
    colour = mix(colour, _BLACK, ramp(np.abs(sketch.x), 0.022, 0.008))
    sketch.solid(sketch.area(curve(mirrored(shell))), colour, gloss=0.3, shadow=0.35)


def paint_owl(sketch, rng):
    """Rust-brown feathers; distinctive: two pale discs with large yellow eyes, and the beak between them."""
    brown, coat = _coat("owl", sketch, rng)
    fat = rng.uniform(0.93, 1.07)
    for side in (-1, 1):
        toes = [np.array([(0.2 + 0.07 * k, 0.80), (0.2 + 0.09 * k, 0.93)]) * (side, 1) for k in (-1, 0, 1)]
        sketch.paint(sketch.stroke(*toes, width=0.07), hsv(38, 0.7, 0.75))
        tuft = np.array([(0.22, -0.74), (0.45, -0.97), (0.55, -0.50)]) * (side * fat, 1)
        sketch.solid(sketch.area(tuft), coat * 0.9, bulge=0.5)
    body = mirrored([(0, -0.80), (0.36, -0.78), (0.55, -0.52), (0.56, -0.10), (0.60, 0.30), (0.44, 0.72), (0, 0.88)])
    rims = scallops(sketch.x, sketch.y, 0.17, 0.125)
    chest = cv2.magnitude(sketch.x / np.float32(0.42), (sketch.y - np.float32(0.32)) / np.float32(0.52))
    chest = ramp(chest, 1.05, 0.8)
    colour = mix(mix(coat, _WHITE, 0.1 * chest), brown * 0.5, 0.35 * rims * ramp(sketch.y, -0.2, 0.0))
    sketch.solid(sketch.area(curve(body * (fat, 1))), colour, bulge=0.9, gloss=0.04, shadow=0.3)
    for side in (-1, 1):
        wing = np.array([(0.50, -0.20), (0.66, 0.04), (0.68, 0.42), (0.52, 0.78), (0.42, 0.40), (0.42, 0.05)])
        feathers = mix(coat * 0.9, brown * 0.5, 0.4 * scallops(sketch.x + 0.03, sketch.y * 0.9, 0.12, 0.17))
        sketch.solid(sketch.area(curve(wing * (side * fat, 1))), feathers, bulge=0.7, gloss=0.04, shadow=0.35)
    for side in (-1, 1):
        x, y = np.float32(side * 0.225 * fat), np.float32(-0.45)
        streaks = _rays(sketch, x, y, 22) * ramp(cv2.magnitude(sketch.x - x, sketch.y - y), 0.1, 0.24)
        disc = mix(_WHITE, hsv(32, 0.4, 0.72), 0.55 * streaks)
        sketch.solid(sketch.area(ellipse(x, y, 0.245, 0.25)), disc, bulge=0.4, gloss=0.0, shadow=0.3, part=True)
        for radius, tone in ((0.155, _BLACK), (0.14, hsv(46, 0.92, 1.0)), (0.08, _BLACK)):
            sketch.paint(sketch.area(ellipse(x, y, radius, radius)), tone, part=True)
        sketch.paint(sketch.area(ellipse(x - 0.03, y - 0.04, 0.028, 0.028)), _WHITE, part=True)
    beak = curve(mirrored([(0, -0.42), (0.075, -0.34), (0, -0.18)]))
    sketch.solid(sketch.area(beak), hsv(36, 0.8, 0.85), gloss=0.3, shadow=0.4, part=True)


def paint_turtle(sketch, rng):
    """A blue shell of plates with blue limbs; distinctive: the head with yellow stripes and red cheeks."""
    shell_colour, coat = _coat("turtle", sketch, rng)
    swing = rng.uniform(-0.06, 0.06, 4)
    for k, limb in enumerate(([(0.30, -0.48), (0.58, -0.74), (0.80, -0.62), (0.80, -0.44), (0.52, -0.26)],
                              [(0.34, 0.42), (0.54, 0.46), (0.70, 0.66), (0.58, 0.80), (0.36, 0.66)])):
        for j, side in enumerate((-1, 1)):
            outline = curve((np.array(limb) + (0, swing[2 * k + j])) * (side, 1))
            sketch.solid(sketch.area(outline), coat, gloss=0.15)
    sketch.solid(sketch.area(curve([(0.07, 0.70), (0, 0.97), (-0.07, 0.70)])), coat * 0.9, gloss=0.1)
    lean = rng.uniform(-0.07, 0.07)
    head = mirrored([(0, -0.97), (0.18, -0.92), (0.26, -0.76), (0.20, -0.56), (0.18, -0.40)]) + (lean, 0)
    x = sketch.x - lean
    stripes = ramp(np.cos(x * 36), 0.2, 0.7)
    colour = mix(hsv(130, 0.5, 0.35), hsv(56, 0.75, 0.98), stripes)
    cheeks = sketch.area(*(ellipse(lean + side * 0.18, -0.66, 0.06, 0.12) for side in (-1, 1)))
    sketch.solid(sketch.area(curve(head)), mix(colour, hsv(6, 0.9, 0.9), cheeks), gloss=0.25, part=True)
    for side in (-1, 1):
        sketch.paint(sketch.area(ellipse(lean + side * 0.15, -0.85, 0.065, 0.065)), _WHITE, part=True)
        sketch.paint(sketch.area(ellipse(lean + side * 0.155, -0.86, 0.042, 0.042)), _BLACK, part=True)
    outline = curve(mirrored([(0, -0.54), (0.36, -0.46), (0.56, -0.10), (0.54, 0.32), (0.34, 0.66), (0, 0.76)]))
    sides = ((0.34, -0.18), (0.36, 0.22), (0.30, 0.56), (0.24, -0.54))
    seeds = [(0, -0.36), (0, 0.04), (0, 0.42)] + [(side * a, b) for side in (-1, 1) for a, b in sides]
    nearest = np.full(sketch.x.shape, 9, np.float32)
    second = nearest.copy()
    for a, b in seeds:  # plates are the cells of these points; their seams lie where two points are equally near
        distance = cv2.magnitude(sketch.x - np.float32(a), sketch.y - np.float32(b))
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    mask = sketch.area(outline)
    colour = mix(coat, shell_colour * 0.5, 0.6 * ramp(second - nearest, 0.055, 0.02))
    sketch.solid(mask, colour, gloss=0.3, shadow=0.4)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of things: its painter, the area of the painted thing in square units, and how far it may be turned."""

    paint: Callable
    area: float
    turn: float  # degrees to either side


KINDS = {
    "butterfly": Kind(paint_butterfly, 2.0, 180),
    "fish": Kind(paint_fish, 1.5, 35),
    "flower": Kind(paint_flower, 2.4, 180),
    "ladybird": Kind(paint_ladybird, 2.0, 180),
    "owl": Kind(paint_owl, 2.1, 20),
    "turtle": Kind(paint_turtle, 1.9, 180),
}


def draw_object(name, area, rng):
    """A Sketch of one thing of class `name` that covers about `area` pixels, turned and mirrored at random."""
    kind = KINDS[name]
    sketch = Sketch(np.sqrt(area / kind.area), rng.uniform(-kind.turn, kind.turn), bool(rng.random() < 0.5))
    kind.paint(sketch, rng)
    return sketch
