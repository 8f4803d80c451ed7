# pyright: basic, reportIndexIssue=false
"""From a scan to its label map with numpy alone: everything but the network, which comes as a function.

Written by `unpaired export`. A scan is an array (axes as in its file) and an affine (voxel -> RAS+ millimeters, as
nibabel has it). A prepared volume is (depth, height, width): the scan's axes permuted and flipped, cropped, resampled,
normalized. `model` is what `model.json` holds. `segment` is the whole way.
"""

from itertools import product

import numpy as np
from components import keep_largest, largest_part  # pyright: ignore[reportMissingImports] (beside it)
from probabilities import prepared_spacing, shifted, smoothed  # pyright: ignore[reportMissingImports] (beside it)
from turns import in_all_forms  # pyright: ignore[reportMissingImports] (beside it)

DOWN, RIGHTWARD = np.array([0.0, -1.0, -2.0]), np.array([-2.0, -1.0, 0.0])
"""Where rows run, in RAS (to inferior, else posterior), and columns (to the patient's left, else posterior)."""


def segment(array, affine, modality, model, compute):
    """The label map of a scan on its own grid, in the label values of the modality.

    `compute` maps images (1, channel, [depth,] height, width) float32 to logits (1, class, ...). Raises ValueError for
    a scan that can't be used.
    """
    facts = model["modalities"][modality]
    volume, geometry = prepare(array, affine, model["preprocessing"], facts)
    slabs = averaged_slabs(volume, model, compute, prepared_spacing(affine, geometry))
    slabs = smoothed(slabs, affine, geometry, model["smoothing_mm"])
    labels = restore(slabs, geometry)
    return label_values(labels, model["largest_component"], facts["label_values"])


def label_values(labels, largest, values):
    """Class numbers, of some of them the largest part alone, as the values that a modality's label maps carry."""
    labels, values = keep_largest(labels, largest), np.array(values)
    kinds = (np.uint8, np.int16, np.int32, np.int64)
    kind = next(k for k in kinds if np.iinfo(k).min <= values.min() and values.max() <= np.iinfo(k).max)
    return values.astype(kind)[labels]


def prepare(array, affine, settings, facts):
    """The prepared volume (float32) of a scan, and the geometry that `restore` needs."""
    affine = np.asarray(affine, dtype=np.float64)
    if array.ndim != 3 or not array.size:
        raise ValueError(f"expected a scan of three axes, got the shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected one number per voxel, got {array.dtype}")
    axes, flips = orientation(affine[:3, :3], array.shape, settings["plane"])
    view = oriented(array, axes, flips)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[list(axes)]
    crop, grid = crop_and_grid(view, spacing, settings)
    volume = resample(view, crop, grid)
    if not np.isfinite(volume).all():
        raise ValueError("the scan holds NaN, infinity or values beyond 3.4e+38 (float32)")
    inside = []
    for (start, stop), count, size in zip(crop, grid, view.shape, strict=True):
        center = 2 * count * start + (2 * np.arange(count) + 1) * (stop - start)
        hit = np.flatnonzero((center > 0) & (center < 2 * count * size))
        if not len(hit):
            raise ValueError("the scan is thinner than the network's voxels, none of which has its center in it")
        inside.append(slice(int(hit[0]), int(hit[-1]) + 1))
    part = volume[tuple(inside)].copy()
    normalize(part, facts)
    volume.fill(part.min())
    volume[tuple(inside)] = part
    return volume, (array.shape, axes, flips, crop, grid)


def orientation(matrix, shape, plane):
    """Which file axis becomes depth, height and width, and which of them run backwards."""
    sizes = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(matrix).all() or (sizes == 0).any() or abs(np.linalg.det(matrix / sizes)) < 1e-3:
        raise ValueError(f"expected an invertible affine, got {matrix.tolist()}")
    if sizes.min() < 1e-4 or sizes.max() > 100:
        raise ValueError(f"expected voxel sizes of 0.0001 to 100 mm, got {sizes.tolist()}")
    directions = (matrix / sizes).T
    if np.abs(directions @ directions.T - np.eye(3)).max() > 0.01:
        raise ValueError("the axes are sheared (gantry tilt?); resample the scan to perpendicular axes")
    depth = depth_axis(matrix, sizes, shape, plane)
    first, second = (axis for axis in range(3) if axis != depth)
    upright = abs(directions[second] @ DOWN) + abs(directions[first] @ RIGHTWARD)
    lying = abs(directions[first] @ DOWN) + abs(directions[second] @ RIGHTWARD)
    height, width = (second, first) if upright >= lying - 1e-6 else (first, second)
    flip_height, flip_width = bool(directions[height] @ DOWN < 0), bool(directions[width] @ RIGHTWARD < 0)
    down = -directions[height] if flip_height else directions[height]
    right = -directions[width] if flip_width else directions[width]
    return (depth, height, width), (bool(directions[depth] @ np.cross(right, down) < 0), flip_height, flip_width)


def depth_axis(matrix, sizes, shape, plane):
    if plane == "native":  # as acquired: the axis of one voxel, else of the largest spacing
        single = [axis for axis in range(3) if shape[axis] == 1]
        return single[0] if len(single) == 1 else max(a for a in range(3) if sizes[a] >= sizes.max() * (1 - 1e-3))
    left, _, right = np.linalg.svd(matrix / sizes)
    rotation = left @ right  # the nearest one without shear; each file axis takes the nearest world axis that is free
    nearest = {}
    for axis in np.argsort(np.min(-(rotation**2), axis=0), kind="stable"):
        nearest[int(np.argmax(np.abs(rotation[:, axis])))] = int(axis)
        rotation[np.argmax(np.abs(rotation[:, axis])), :] = 0
    return nearest[{"sagittal": 0, "coronal": 1, "axial": 2}[plane]]


def oriented(array, axes, flips):
    return array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def crop_and_grid(view, spacing, settings):
    """Per axis: first and last file voxel that is kept, and the number of prepared voxels they become."""
    box = body_box(view, spacing) if settings["roi"] == "body" else [(0, size) for size in view.shape]
    nothing = (None, None, None)
    target, size_mm, size = (settings[name] or nothing for name in ("spacing_mm", "roi_size_mm", "size"))
    crop, grid = [], []
    for axis, (start, stop) in enumerate(box):
        step, count, extent = target[axis] or spacing[axis], size[axis], size_mm[axis]
        if count is not None:
            extent = count * step
        if extent is not None:
            length = max(1, round(extent / spacing[axis]))
            start = (start + stop - length) // 2
            stop = start + length
        elif settings["roi"] == "body":
            margin = int(np.ceil(settings["roi_margin_mm"] / spacing[axis]))
            start, stop = max(0, start - margin), min(view.shape[axis], stop + margin)
        crop.append((int(start), int(stop)))
        grid.append(count or max(1, round((stop - start) * spacing[axis] / step)))
    return crop, tuple(grid)


def body_box(view, spacing):
    """The box around the largest thing that is brighter than air, looked for on a grid of about 4 mm."""
    strides = [max(1, int(4.0 / size)) for size in spacing]
    firsts = [min(stride // 2, size - 1) for stride, size in zip(strides, view.shape, strict=True)]
    coarse = view[tuple(slice(first, None, stride) for first, stride in zip(firsts, strides, strict=True))]
    lowest = float(coarse.min())
    threshold = -300.0 if lowest < -200 else lowest + 0.1 * (float(np.percentile(coarse, 99)) - lowest)
    mask = largest_part(coarse > threshold, corners=False)
    box = []
    for axis, (stride, size) in enumerate(zip(strides, view.shape, strict=True)):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        ends = (int(hit[0]), int(hit[-1]) + 1) if len(hit) else (0, size)
        box.append((max(0, (ends[0] - 1) * stride), min(size, (ends[1] + 1) * stride)))
    return box


def normalize(volume, facts):
    """In place: clipped as the modality says, then brought to its scale."""
    kind = facts["normalization"]
    nonzero = volume != 0
    if facts["clip"] is not None:
        np.clip(volume, *facts["clip"], out=volume)
    if facts["clip_percentiles"] is not None:
        np.clip(volume, *np.percentile(volume, facts["clip_percentiles"]), out=volume)
    least = max(1e-7 * max(float(volume.max()), -float(volume.min())), 1e-37)
    if kind == "zscore":
        zscore(volume, least)
    elif kind == "zscore_slice":
        for plane in volume:
            zscore(plane[np.newaxis], least)
    elif kind == "zscore_nonzero":
        values = volume[nonzero].astype(np.float64)
        mean, deviation = (values.mean(), values.std()) if len(values) else (0.0, 1.0)
        volume[...] = np.where(nonzero, (volume - mean) / max(deviation, least), 0)
    elif kind == "minmax":
        low, high = float(volume.min()), float(volume.max())
        volume -= low
        volume /= max(high - low, least)
    elif kind != "none":
        raise ValueError(f"normalization {kind!r} is not known")


def zscore(volume, least):
    volume -= np.float32(sum(float(plane.sum(dtype=np.float64)) for plane in volume) / volume.size)
    square = sum(float(np.square(plane, dtype=np.float64).sum()) for plane in volume) / volume.size
    rest = sum(float(plane.sum(dtype=np.float64)) for plane in volume) / volume.size
    volume /= np.float32(max(np.sqrt(max(square - rest**2, 0.0)), least))


def neighbors(crop, size, count):
    """For each sample along an axis: the voxel before it, the one after it, and how much of the latter."""
    first, last = max(crop[0], 0), min(crop[1], size) - 1
    place = (crop[0] + (np.arange(count) + 0.5) * ((crop[1] - crop[0]) / count) - 0.5).clip(first, last)
    lower = np.floor(place).astype(np.intp)
    return lower, np.minimum(lower + 1, last), (place - lower).astype(np.float32)


def resample(view, crop, grid):
    """The crop of a view, trilinear on `grid`, float32."""
    depth, rows, columns = (neighbors(*axis) for axis in zip(crop, view.shape, grid, strict=True))
    result = np.empty(grid, np.float32)
    for target, before, after, weight in zip(result, *depth, strict=True):
        target[...] = resample_plane(view[before], rows, columns)
        if weight:
            target += (resample_plane(view[after], rows, columns) - target) * weight
    return result


def resample_plane(plane, rows, columns):
    for axis, (before, after, weight) in ((0, rows), (1, columns)):
        left = np.take(plane, before, axis).astype(np.float32)
        if weight.any():
            left += (np.take(plane, after, axis).astype(np.float32) - left) * np.expand_dims(weight, 1 - axis)
        plane = left
    return plane


def averaged_slabs(volume, model, compute, spacing):
    """Class probabilities in slabs, averaged over the forms in which a scan is segmented."""
    return in_all_forms(
        lambda shown: probability_slabs(shown, model, compute), volume, model["turned_degrees"], spacing
    )


def probability_slabs(volume, model, compute):
    """Class probabilities (class, planes, height, width), averaged over windows, in slabs from the first plane on."""
    flat, context = len(model["patch_size"]) == 2, model["context_slices"]
    size = [1, *model["patch_size"]] if flat else model["patch_size"]
    starts = [
        window_starts(length, window, model["overlap"]) for length, window in zip(volume.shape, size, strict=True)
    ]
    weights = window_weights(size, [len(axis) > 1 for axis in starts])
    total, weight_sum, done = None, np.zeros((min(size[0], volume.shape[0]), *volume.shape[1:]), np.float32), 0
    for start in [*product(*starts), (volume.shape[0], 0, 0)]:
        if (count := min(start[0], volume.shape[0]) - done) > 0 and total is not None:
            yield shifted(total[:, :count] / weight_sum[:count], model["background_log_odds"])
            for sums in (total, weight_sum[np.newaxis]):
                sums[:, : sums.shape[1] - count] = sums[:, count:].copy()
                sums[:, sums.shape[1] - count :] = 0
            done += count
        if start[0] == volume.shape[0]:
            return
        images = window(volume, start, size, context)
        logits = compute(np.ascontiguousarray(images[np.newaxis, :, 0] if flat else images[np.newaxis]))[0]
        if not np.isfinite(logits).all():
            raise ValueError("the network's logits are NaN or infinite, so there is no answer")
        shares = np.exp(logits - logits.max(0))
        shares /= shares.sum(0)
        shares = shares[:, np.newaxis] if flat else shares
        total = np.zeros((len(shares), *weight_sum.shape), np.float32) if total is None else total
        inside, part = overlap(start, size, volume.shape)
        inside = (slice(inside[0].start - done, inside[0].stop - done), *inside[1:])
        total[(slice(None), *inside)] += shares[(slice(None), *part)] * weights[part]
        weight_sum[inside] += weights[part]


def window_starts(length, window, overlap):
    if length <= window:
        return [length // 2 - window // 2]
    count = -(-(length - window) // max(1, int(window * (1 - overlap)))) + 1
    return [round(index * (length - window) / (count - 1)) for index in range(count)]


def window_weights(size, blended):
    """Gaussian along axes where windows overlap, sigma an eighth of the window; never below a thousandth."""
    weights = np.ones(size, dtype=np.float32)
    for axis, (length, active) in enumerate(zip(size, blended, strict=True)):
        if active and length > 1:
            offsets = np.arange(length) - (length - 1) / 2
            profile = np.exp(-0.5 * (offsets / (length / 8)) ** 2).astype(np.float32)
            weights *= profile.reshape([-1 if other == axis else 1 for other in range(3)])
    return np.maximum(weights, 1e-3 * weights.max())


def overlap(start, size, shape):
    """Where a window lies in the volume, and which part of the window that is."""
    ends = [(max(s, 0), min(s + w, length)) for s, w, length in zip(start, size, shape, strict=True)]
    return tuple(slice(*end) for end in ends), tuple(slice(a - s, b - s) for s, (a, b) in zip(start, ends, strict=True))


def window(volume, start, size, context):
    """(context, depth, height, width), 0 outside; a neighbor slice beyond the first or last one repeats that one."""
    result = np.zeros((context, *size), np.float32)
    inside, part = overlap(start, size, volume.shape)
    for channel in range(context):
        planes = np.arange(inside[0].start, inside[0].stop) + channel - context // 2
        result[(channel, *part)] = volume[planes.clip(0, len(volume) - 1)][(slice(None), *inside[1:])]
    return result


def restore(slabs, geometry):
    """The likeliest class, uint8, on the scan's grid; probabilities are resampled linearly; 0 outside the crop."""
    shape, axes, flips, crop, grid = geometry
    size = tuple(stop - start for start, stop in crop)
    depth, rows, columns = (neighbors((0, count), count, length) for count, length in zip(grid, size, strict=True))
    planes = enumerate(plane for slab in slabs for plane in np.moveaxis(slab, 1, 0))
    labels, held = np.empty(size, np.uint8), {}
    for target, before, after, weight in zip(labels, *depth, strict=True):
        while after not in held:
            number, plane = next(planes)
            held[number] = np.stack([resample_plane(p, rows, columns) for p in plane]) if number >= before else None
        held = {number: plane for number, plane in held.items() if number >= before}
        target[...] = (held[before] + (held[after] - held[before]) * weight if weight else held[before]).argmax(0)
    result = np.zeros(shape, np.uint8)
    view = oriented(result, axes, flips)
    inside, part = overlap([start for start, _ in crop], size, view.shape)
    view[inside] = labels[part]
    return result
