"""CMC's CSC and CAC as plain loops over images, channels, classes, voxels and pairs, in Python's own numbers.

Nothing is shared with `unpaired.methods`: no matrix product, no trick for many modalities.
"""

import itertools
import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def channel_consistency(features: Sequence[Sequence[Rows]], form: str) -> float:
    """`features[modality][image][channel]` is the list of a map's values."""
    losses = []
    for a, b in itertools.combinations(features, 2):
        channels = range(len(a[0]))
        if form == "vec":
            values = [cosine(x[k], y[k]) for x, y in zip(a, b, strict=True) for k in channels]
        elif form == "gap":
            values = [cosine(*([_mean([v for image in of for v in image[k]]) for k in channels] for of in (a, b)))]
        else:
            whole = [[[v for image in of for v in image[k]] for k in channels] for of in (a, b)]
            profiles = [[[cosine(of[k], of[m]) for m in channels if m != k] for k in channels] for of in whole]
            values = [cosine(profiles[0][k], profiles[1][k]) for k in channels]
        losses.append(1 - _mean(values))
    return _mean(losses)


def dice(a: Sequence[float], b: Sequence[float]) -> float:
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return (2 * product + 1) / (math.fsum(x * x for x in a) + math.fsum(y * y for y in b) + 1)


def voxels(predictions: Sequence[Sequence[Rows]]) -> float:
    """`predictions[modality][image][class]`: a foreground class's probabilities at all voxels, as a list."""
    losses = [
        1 - dice(x, y)
        for a, b in itertools.combinations(predictions, 2)
        for image_a, image_b in zip(a, b, strict=True)
        for x, y in zip(image_a, image_b, strict=True)
    ]
    return _mean(losses)


def statistics(weights: Sequence[float], size: Sequence[int]) -> tuple[float, list[float], list[float]]:
    """(sum, centroid, standard deviation with a voxel's own) of weights at the voxels of a grid, in C order."""
    places = list(itertools.product(*(range(n) for n in size)))
    mass = math.fsum(weights)
    centroid, spread = [], []
    for axis in range(len(size)):
        mean = math.fsum(w * place[axis] for w, place in zip(weights, places, strict=True)) / mass
        variance = math.fsum(w * (place[axis] - mean) ** 2 for w, place in zip(weights, places, strict=True)) / mass
        centroid.append(mean)
        spread.append(math.sqrt(variance + 1 / 12))
    return mass, centroid, spread


def shape(predictions: Sequence[Sequence[Rows]], size: Sequence[int]) -> float:
    """As `voxels`, by share, place and spread of each class in units of the foreground."""
    described = [[_described(image, size) for image in images] for images in predictions]
    classes, axes = len(predictions[0][0]), range(len(size))
    losses = []
    for a, b in itertools.combinations(described, 2):
        for c in range(classes):
            share = [_weighted([(i["seen"], i["share"][c]) for i in images]) for images in (a, b)]
            seen = _mean([i["seen"] for i in a]) * _mean([i["seen"] for i in b])
            class_seen = _mean([i["class_seen"][c] for i in a]) * _mean([i["class_seen"][c] for i in b])
            loss = seen * (share[0] - share[1]) ** 2
            for what in ("place", "spread"):
                for axis in axes:
                    values = [_weighted([(i["class_seen"][c], i[what][c][axis]) for i in of]) for of in (a, b)]
                    loss += class_seen * (values[0] - values[1]) ** 2 / len(axes)
            losses.append(loss)
    return _mean(losses)


def _described(image: Rows, size: Sequence[int]) -> dict:
    whole, origin, unit = statistics([math.fsum(p) ** 2 for p in zip(*image, strict=True)], size)
    parts = [statistics([p * p for p in of_class], size) for of_class in image]
    return {
        "seen": whole / (whole + 1),
        "class_seen": [mass / (mass + 1) for mass, _, _ in parts],
        "share": [mass / math.fsum(m for m, _, _ in parts) for mass, _, _ in parts],
        "place": [[(x - o) / u for x, o, u in zip(at, origin, unit, strict=True)] for _, at, _ in parts],
        "spread": [[x / u for x, u in zip(wide, unit, strict=True)] for _, _, wide in parts],
    }


def frame(predictions: Sequence[Sequence[Rows]], size: Sequence[int], cells: int, extent: float, pairs: bool) -> float:
    """As `voxels`, of maps in the frame of each image's foreground: of all pairs of images or of mean maps."""
    framed, seen = [], []
    for images in predictions:
        framed.append([[_in_frame(of_class, image, size, cells, extent) for of_class in image] for image in images])
        masses = [statistics([math.fsum(p) ** 2 for p in zip(*image, strict=True)], size)[0] for image in images]
        seen.append([mass / (mass + 1) for mass in masses])
    losses = []
    for (a, seen_a), (b, seen_b) in itertools.combinations(list(zip(framed, seen, strict=True)), 2):
        if pairs:
            for (x, p), (y, q) in itertools.product(zip(a, seen_a, strict=True), zip(b, seen_b, strict=True)):
                losses.append(p * q * _mean([1 - dice(x[c], y[c]) for c in range(len(x))]))
        else:
            maps = [
                [
                    [
                        _weighted([(w, image[c][v]) for image, w in zip(of, ws, strict=True)])
                        for v in range(len(of[0][c]))
                    ]
                    for c in range(len(of[0]))
                ]
                for of, ws in ((a, seen_a), (b, seen_b))
            ]
            of_classes = _mean([1 - dice(x, y) for x, y in zip(*maps, strict=True)])
            losses.append(_mean(seen_a) * _mean(seen_b) * of_classes)
    return _mean(losses)


def _in_frame(values: Sequence[float], image: Rows, size: Sequence[int], cells: int, extent: float) -> list[float]:
    """One map: at each cell the mean of the voxels with triangular weights, beyond the image 0."""
    _, centroid, spread = statistics([math.fsum(p) ** 2 for p in zip(*image, strict=True)], size)
    weights = []
    for axis, n in enumerate(size):
        step = 2 * extent * spread[axis] / (cells - 1)
        width = max(step, 1.0)
        of_axis = []
        for k in range(cells):
            center = centroid[axis] - extent * spread[axis] + k * step
            row = {x: max(0.0, 1 - abs(x - center) / width) for x in range(-n, 2 * n)}
            total = math.fsum(row.values())
            of_axis.append([row[x] / total if total else 0.0 for x in range(n)])
        weights.append(of_axis)
    places = list(itertools.product(*(range(n) for n in size)))
    result = []
    for cell in itertools.product(range(cells), repeat=len(size)):
        factors = [math.prod(weights[axis][cell[axis]][place[axis]] for axis in range(len(size))) for place in places]
        result.append(math.fsum(f * v for f, v in zip(factors, values, strict=True)))
    return result


def _weighted(pairs: Sequence[tuple[float, float]]) -> float:
    return math.fsum(w * v for w, v in pairs) / math.fsum(w for w, _ in pairs)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
