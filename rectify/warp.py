"""Sampling an image flat along its control points, in numpy and OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import Points, grid_points, pixel_centers, pixel_grid
from rectify.shape import Resize, quick_resize, resize
from rectify.tps import grid_basis, grid_planes, plane_basis

SHRINK_THRESHOLD = 1.25
"""Source pixels per output pixel along an axis from which the source is averaged first: bilinear sampling alone would
skip pixels (aliasing)."""

STRIP_PIXELS = 1 << 16
"""Results come in strips of at most so many, so that memory stays bounded."""

SPLINE_PIXELS = 1 << 12
"""The same for splines: what a strip needs stays in the processor's cache."""

MOST_CONVERTED = 3
"""Pixels of an image for each of the result, up to which a fourth channel pays for itself."""

PAIR = 2
PRODUCT_PIXELS = 1 << 10
"""Splines of images and pixels in one matrix product. Pairs take half the time of single ones, for which laying out the
basis is most of the work; larger products than these BLAS would share among threads, which costs more than it saves."""

COARSE = 8
"""Samples along each side of a result from which it is judged how far it shrinks its source."""

Place = Callable[[Points], Points]
"""A map from points (N, 2) of the canonical frame to pixels (N, 2) of an image."""

Coordinates = NDArray[np.float64]

GridPlace = Callable[[Coordinates, Coordinates], Points]
"""The same map from all points with the coordinates (W,) and (H,), row by row, to pixels (H·W, 2)."""


def warp(
    image: NDArray[np.uint8],
    points: Points,
    rows: int,
    cols: int,
    size: tuple[int, int],
    extent: tuple[float, float] = (1.0, 1.0),
    sharp: bool = False,
) -> NDArray[np.uint8]:
    """The image sampled along the spline through the control points.

    Args:
        image: (H, W) or (H, W, C) uint8.
        points: (rows·cols, 2) control points in pixels of ``image``.
        size: (width, height) of the result.
        extent: how far the result shows the canonical frame (see ``conventions.pixel_grid``).
        sharp: bicubic instead of bilinear, for who looks at what is sampled once: letters keep their edges.

    Returns:
        (height, width) or (height, width, C) uint8, averaged where it shrinks, border replicated.
    """
    width, height = size
    sources, points = _averaged([image], np.asarray(points, np.float64)[None], rows, cols, size, extent)
    source = _prepared(sources[0], width * height, sharp)
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    xs, ys = pixel_centers(width) * extent[0], pixel_centers(height) * extent[1]
    strip = max(1, SPLINE_PIXELS // width)
    for top in range(0, height, strip):
        planes = grid_planes(points[0], rows, cols, xs, ys[top : top + strip])
        _sample(source, planes, result[top : top + strip], sharp)
    return result


def warp_batch(
    images: Sequence[NDArray[np.uint8]],
    points: Points,
    rows: int,
    cols: int,
    size: tuple[int, int],
    extent: tuple[float, float] = (1.0, 1.0),
    resizer: Resize = quick_resize,
) -> NDArray[np.uint8]:
    """Each image sampled along its own spline, all at one size; ``warp`` for networks, in a fraction of the time.

    What is computed of a size is kept, and the rest for the whole batch at once.

    Args:
        images: N of (H, W), (H, W, 1) or (H, W, 3) uint8.
        points: (N, rows·cols, 2) control points in pixels of the images.
        size, extent: as of ``warp``.
        resizer: averages what shrinks.

    Returns:
        (N, height, width, 3) uint8; grey is repeated over the channels.
    """
    width, height = size
    sources, points = _averaged(images, np.asarray(points, np.float64), rows, cols, size, extent, resizer)
    result = np.empty((len(images), height, width, 3), np.uint8)
    planes = _products(plane_basis(rows, cols, height, width, extent), points)
    for source, grid, flat in zip(sources, planes, result, strict=True):
        if source.shape[2:] == (3,):
            _sample(_prepared(source, width * height), grid, flat)
        else:
            grey = np.empty((height, width, 1), np.uint8)
            _sample(source, grid, grey)
            flat[...] = grey
    return result


def warp_along(
    image: NDArray[np.uint8],
    place: Place,
    size: tuple[int, int],
    extent: tuple[float, float] = (1.0, 1.0),
    sharp: bool = False,
    grid_place: GridPlace | None = None,
) -> NDArray[np.uint8]:
    """The image sampled along any map; ``warp`` for what is no spline.

    Only the part of the image that the map reaches is touched, so many words of one large photo cost no more than
    their own pixels.

    Args:
        image: (H, W) or (H, W, C) uint8.
        place: takes the canonical frame to pixels of ``image``.
        size, extent, sharp: as of ``warp``.
        grid_place: the same as ``place``, where a map through a spline has a faster way for grids.

    Returns:
        As ``warp``.
    """
    width, height = size
    part, origin = _reached(image, place, extent)
    shrink = _shrink_factors(place(pixel_grid(COARSE, COARSE, extent)), size)
    scale = np.ones(2)
    if shrink.max() > SHRINK_THRESHOLD:
        whole = part.shape[1::-1]
        part = _shrunk(part, shrink.tolist())
        scale = np.divide(part.shape[1::-1], whole)
    part = _prepared(part, width * height, sharp)
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    xs, ys = pixel_centers(width) * extent[0], pixel_centers(height) * extent[1]
    strip = max(1, (SPLINE_PIXELS if grid_place else STRIP_PIXELS) // width)
    for top in range(0, height, strip):
        rows, lines = result[top : top + strip], ys[top : top + strip]
        points = grid_place(xs, lines) if grid_place else place(grid_points(xs, lines))
        _sample(part, ((points - origin + 0.5) * scale - 0.5).T.astype(np.float32), rows, sharp)
    return result


def _reached(
    image: NDArray[np.uint8], place: Place, extent: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A view of the part of the image that a map reaches, and that part's first pixel (x, y)."""
    steps = np.linspace(-1, 1, 33)
    reached = place(grid_points(steps * extent[0], steps * extent[1])).reshape(33, 33, 2)
    # What lies between two samples may reach further than both, by less than the distance between them.
    pad = 2 + max(np.abs(np.diff(reached, axis=axis)).max() for axis in (0, 1))
    last = np.array(image.shape[1::-1]) - 1
    low = np.clip(np.floor(reached.min((0, 1)) - pad), 0, last).astype(np.int64)
    high = np.clip(np.ceil(reached.max((0, 1)) + pad), 0, last).astype(np.int64)
    return image[low[1] : high[1] + 1, low[0] : high[0] + 1], low


def _products(basis: NDArray[np.float32], points: Points) -> NDArray[np.float32]:
    """Planes (N, 2, pixels) of x and y: control points (N, K, 2) times a kept basis (K, pixels).

    A product for each pair of images, the odd one beside nothing, and not one for all: rounding, and so the picture,
    is then the same in any batch.
    """
    # The product is taken around the middle of the points: in float32 its error grows with the coordinates' size.
    middle = points.mean(1, keepdims=True)
    pairs = -(-len(points) // PAIR)
    offsets = np.zeros((pairs * PAIR, 2, basis.shape[0]), np.float32)
    offsets[: len(points)] = (points - middle).swapaxes(1, 2)
    rows = offsets.reshape(pairs, 2 * PAIR, basis.shape[0])
    products = np.empty((*rows.shape[:2], basis.shape[1]), np.float32)
    for start in range(0, basis.shape[1], PRODUCT_PIXELS):
        strip = slice(start, start + PRODUCT_PIXELS)
        np.matmul(rows, basis[:, strip], out=products[:, :, strip])
    planes = products.reshape(-1, 2, basis.shape[1])[: len(points)]
    planes += middle.swapaxes(1, 2).astype(np.float32)
    return planes


def _prepared(image: NDArray[np.uint8], pixels: int, sharp: bool = False) -> NDArray[np.uint8]:
    """An image as OpenCV samples it best for a result of so many pixels: in one piece, which it would else make of it
    for every strip, and, if bilinearly, of four channels instead of three, which gives the same in half the time, but
    has to be made of all the image."""
    if not sharp and image.shape[2:] == (3,) and image.shape[0] * image.shape[1] <= MOST_CONVERTED * pixels:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8)
    return np.ascontiguousarray(image)


def _sample(
    source: NDArray[np.uint8],
    planes: NDArray[np.float32],
    result: NDArray[np.uint8],
    sharp: bool = False,
) -> None:
    """Fills ``result`` (h, w[, C]) with the source (see ``_prepared``) at the pixels whose x and y are the ``planes``
    (2, ...)."""
    x, y = planes.reshape(2, *result.shape[:2])
    interpolation = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    if source.shape[2:] == (4,) and result.shape[2] == 3:
        four = cv2.remap(source, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
        cv2.cvtColor(four, cv2.COLOR_RGBA2RGB, dst=result)
    else:
        cv2.remap(source, x, y, interpolation, dst=result, borderMode=cv2.BORDER_REPLICATE)


def _averaged(
    images: Sequence[NDArray[np.uint8]],
    points: Points,
    rows: int,
    cols: int,
    size: tuple[int, int],
    extent: tuple[float, float],
    resizer: Resize = resize,
) -> tuple[list[NDArray[np.uint8]], Points]:
    """The images, averaged down where splines shrink them, and the control points (N, K, 2) in what became of them."""
    shrink = _shrink_factors(grid_basis(rows, cols, COARSE, COARSE, extent) @ points, size)
    sources = list(images)
    if shrink.max(initial=0) <= SHRINK_THRESHOLD:
        return sources, points
    shrunk = np.flatnonzero(shrink.max(1) > SHRINK_THRESHOLD)
    scales = np.empty((len(shrunk), 1, 2))
    for index, factors, scale in zip(shrunk.tolist(), shrink[shrunk].tolist(), scales, strict=True):
        sources[index] = _shrunk(images[index], factors, resizer)
        (height, width), (old_height, old_width) = sources[index].shape[:2], images[index].shape[:2]
        scale[0] = width / old_width, height / old_height
    points = points.copy()
    points[shrunk] = (points[shrunk] + 0.5) * scales - 0.5
    return sources, points


def _shrink_factors(coarse: Points, size: tuple[int, int]) -> NDArray[np.float64]:
    """Source pixels per output pixel along the source's x and y (..., 2), a mean over the result, from where a coarse
    grid (..., COARSE², 2) over the result lies in the source."""
    # The mean slope between neighbours; those of a fine grid would say the same.
    coarse = coarse.reshape(*coarse.shape[:-2], COARSE, COARSE, 2)
    along_x = np.diff(coarse, axis=-2) * (COARSE / size[0])
    along_y = np.diff(coarse, axis=-3) * (COARSE / size[1])
    squares = np.square(along_x).sum((-3, -2)) + np.square(along_y).sum((-3, -2))
    return np.sqrt(squares / (COARSE * (COARSE - 1)))


def _shrunk(image: NDArray[np.uint8], factors: Sequence[float], resizer: Resize = resize) -> NDArray[np.uint8]:
    """The image averaged down by the factors above the threshold."""
    height, width = image.shape[:2]
    new_width, new_height = (
        max(1, round(side / factor)) if factor > SHRINK_THRESHOLD else side
        for side, factor in zip((width, height), factors, strict=True)
    )
    return resizer(image, (new_width, new_height))
