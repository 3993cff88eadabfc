"""Straight crops along polygons, as text detectors give them, without any network.

Coordinates of polygons count from the image's top left corner, as detectors and annotations have them: (0, 0) is the
outer corner of the first pixel, and the rectangle from (x0, y0) to (x1, y1) is ``image[y0:y1, x0:x1]``. Pixel
coordinates of the rest of the project (``rectify.conventions``) are half a pixel less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectify.conventions import TEXT_EXTENT, Points, canonical_points, extent_of
from rectify.images import MIN_SIDE, PHOTO_PIXELS, Image, check_image
from rectify.rectified import Rectified
from rectify.shape import frame_size, outline_shape
from rectify.tps import grid_planes, tps_map
from rectify.warp import Coordinates, GridPlace, Place, warp_along

NO_MARGIN = (0.0, 0.0)
"""A result that shows what is in the polygon and no more."""

ROWS, COLS = 7, 13
"""Control points of a result. The crop is sampled along the exact map; on a half-circle arc five times as long as it is
high, the spline through so many points differs from it by up to 3 % of the height, through 2 × 10 by 29 %."""

ELONGATED = 1.5
"""A quadrilateral whose one pair of sides is at least so many times as long as the other is read along it."""

UNEVEN = 0.25
"""Unevenness of the distances between the two edges of a polygon, from which another start is looked for. A word that
comes near with its end, twice as high there as at the other, has less."""

FAR_BETTER = 2.0
"""Times that the distances from another start must be more even."""

TIP = 0.05
"""Share of the mean distance between the edges of a polygon below which they meet."""

FAR = 1e6
"""Pixels from the image's corner beyond which a coordinate is a mistake."""

MIN_AREA = 1.0
"""Square pixels."""

NO_AREA = "encloses no area"

OnError = Callable[[int, ValueError], object]
"""Told the index of a polygon that is none, and why."""

PREVIEW_PIXELS = 1 << 18
"""Of a crop that only a network sees, which makes a few thousand of it; far fewer would blur what it looks at."""

_SAMPLES = 65
"""Points along each edge from which its length is measured."""

_CURVE_SAMPLES = 257
"""Points that stand for a curved edge; between them it is taken for straight."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a flat word lies in an image."""

    place: Place
    """Takes points (N, 2) of the canonical frame to pixels (N, 2) of the image."""
    grid_place: GridPlace | None = None
    """The same for grids, if there is a faster way."""

    def control_points(self, rows: int, cols: int) -> NDArray[np.float32]:
        """A grid (rows·cols, 2) of control points on the map, in pixels."""
        return self.place(canonical_points(rows, cols)).astype(np.float32)

    def shape(self) -> tuple[float, float]:
        """Length and height of the text in pixels, see ``shape.text_shape``."""
        x = np.linspace(-TEXT_EXTENT[0], TEXT_EXTENT[0], _SAMPLES)
        top = np.column_stack([x, np.full(_SAMPLES, -TEXT_EXTENT[1])])
        length, height = outline_shape(self.place(np.concatenate([top, -top])))
        return float(length), float(height)

    def refined(self, points: Points, rows: int, cols: int) -> Placement:
        """This placement after a spline within the flat word: what is sampled along the result is sampled once.

        Args:
            points: (rows·cols, 2) control points of the spline, in this placement's canonical frame.
        """
        points = np.asarray(points, np.float64)

        def grid_place(xs: Coordinates, ys: Coordinates) -> Points:
            return self.place(grid_planes(points, rows, cols, xs, ys).reshape(2, -1).T)

        return Placement(lambda canonical: self.place(tps_map(canonical, points, rows, cols)), grid_place)


def rectify_polygons(
    image: Image,
    polygons: Sequence[ArrayLike],
    margin: tuple[float, float] = NO_MARGIN,
    keep_order: bool = False,
) -> list[Rectified]:
    """Straight crops out of a photo; ``Rectifier.rectify_polygons`` without weights, and with the same arguments.

    Raises:
        TypeError, ValueError: not an image, or not such polygons.
    """
    placements = place_polygons(image, polygons, keep_order)
    return [flatten_placement(image, placement, margin) for placement in placements.values()]


def place_polygons(
    image: Image, polygons: Sequence[ArrayLike], keep_order: bool = False, on_error: OnError | None = None
) -> dict[int, Placement]:
    """Where the words in polygons lie, by their index.

    Args:
        on_error: told of each that is none, which is left out then.

    Raises:
        TypeError, ValueError: not an image, or, without ``on_error``, not polygons of it; the message says which by its
            index.
    """
    check_image(image, PHOTO_PIXELS)
    placements = {}
    for index, polygon in enumerate(polygons):
        try:
            placements[index] = place_polygon(polygon, image.shape[1::-1], keep_order)
        except ValueError as error:
            if on_error is None:
                raise ValueError(f"polygons[{index}]: {error}") from None
            on_error(index, error)
    return placements


def place_polygon(polygon: ArrayLike, size: tuple[int, int], keep_order: bool = False) -> Placement:
    """Where the word in a polygon lies in an image of this size (width, height).

    Raises:
        ValueError: not a polygon of it.
    """
    top, bottom = text_edges(check_polygon(polygon, size, keep_order), keep_order)
    corners = np.concatenate([top, bottom[::-1]])
    text = _perspective(corners) if len(corners) == 4 and _is_convex(corners) else _between(top, bottom)
    return Placement(lambda canonical: text(canonical / TEXT_EXTENT) - 0.5)


def flatten_placement(
    image: Image,
    placement: Placement,
    margin: tuple[float, float] = NO_MARGIN,
    least_height: int = 0,
    sharp: bool = False,
) -> Rectified:
    """A word sampled flat, with this space around it and at least so many rows if it can (see ``Rectifier``)."""
    extent = extent_of(margin)
    size = frame_size(image, *placement.shape(), margin, least_height)
    flat = warp_along(image, placement.place, size, extent, sharp, placement.grid_place)
    return Rectified(flat, placement.control_points(ROWS, COLS), ROWS, COLS)


def preview(image: Image, placement: Placement, margin: tuple[float, float]) -> Image:
    """The same for a network that looks at it, whatever its size: with no fewer pixels than a crop must have, and no
    more than a network can make use of."""
    sides = np.array(frame_size(image, *placement.shape(), margin))
    scale = min(1.0, float(np.sqrt(PREVIEW_PIXELS / sides.prod())))
    width, height = (max(MIN_SIDE, round(side * scale)) for side in sides.tolist())
    return warp_along(image, placement.place, (width, height), extent_of(margin))


def check_polygon(polygon: ArrayLike, size: tuple[int, int], keep_order: bool = False) -> NDArray[np.float64]:
    """A polygon as an array (M, 2), from as many points or a contour of OpenCV's (M, 1, 2), without a last point that
    closes it, as some detectors give it.

    Args:
        size: (width, height) of its image.
        keep_order: of an even number of points the last one ends an edge, even where the other one begins. Without it
            that is so where the edges meet at both ends.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        points = np.array(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("not a list of points [x, y]") from None
    if points.ndim == 3 and points.shape[1:] == (1, 2):
        points = points[:, 0]  # a contour of OpenCV's
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"a polygon is a list of points [x, y], this has the shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not a finite number")
    if (np.abs(points) > FAR).any():
        raise ValueError(f"a coordinate is beyond {FAR:.0e} pixels")
    if len(points) >= 4 and len(np.unique(points, axis=0)) < 3:
        raise ValueError(NO_AREA)
    closed = len(points) >= 4 and bool((points[0] == points[-1]).all())
    if closed and (len(points) % 2 or not (keep_order or _is_lens(points))):
        points = points[:-1]
    counted = f"{len(points)} points" + (" and one that closes it" if closed else "")
    tip = "; where that one ends an edge, at the tip where the other begins, keep their order" if closed else ""
    if len(points) < 4:
        raise ValueError(f"{counted}, it takes at least 4{tip}")
    if len(points) % 2:
        raise ValueError(f"{counted}, it takes an even number: half of them run along each edge of the text{tip}")
    # The hull, as a quadrilateral in the wrong order encloses little.
    if cv2.contourArea(cv2.convexHull(points.astype(np.float32))) < MIN_AREA:
        raise ValueError(NO_AREA)
    if (points.max(0) <= 0).any() or (points.min(0) >= size).any():
        raise ValueError(f"outside of the image of {size[0]}x{size[1]} pixels")
    return points


def _is_lens(points: Points) -> bool:
    """Whether the edges of a closed polygon meet at their other end, too."""
    half = len(points) // 2
    return len(points) > 4 and bool((points[half - 1] == points[half]).all())


def text_edges(polygon: Points, keep_order: bool = False) -> tuple[Points, Points]:
    """The top and bottom edge (M/2, 2) of a polygon, each in reading direction.

    A quadrilateral's corners may come in any order. If one pair of its sides is at least ``ELONGATED`` times as long as
    the other, the text runs along it, else along the pair that is nearer to the horizontal; from left to right, and
    downwards if that is the same.

    Of a longer polygon the first half of the points is one edge, and the second half, backwards, the other, unless it
    plainly starts elsewhere: where the points of its edges lie across from each other (see ``_halved``). Clockwise or
    not does not matter; the text runs from left to right, measured from end to end of both edges.

    Args:
        polygon: (M, 2), checked.
        keep_order: the first half is the top edge and the first point the start of the text.

    Raises:
        ValueError: the polygon crosses itself or encloses nothing, or ``keep_order`` would read it mirrored.
    """
    if not keep_order and len(polygon) == 4:
        convex = _around(polygon)
        if convex is not None:
            return _quad_edges(convex)
    if _crosses_itself(polygon):
        raise ValueError("crosses itself")
    area = _signed_area(polygon)
    if abs(area) < MIN_AREA:
        raise ValueError(NO_AREA)
    clockwise = area > 0
    if keep_order and not clockwise:
        raise ValueError("runs counter-clockwise, in this order the text would be mirrored")
    points = polygon if clockwise else polygon[::-1]
    if len(polygon) == 4 and not keep_order:
        return _quad_edges(points)
    top, bottom = _halves(points) if keep_order else _halved(points)
    reading = top[-1] - top[0] + bottom[-1] - bottom[0]
    if not keep_order and _turned_back(reading):
        return bottom[::-1], top[::-1]
    return top, bottom


def _halves(points: Points) -> tuple[Points, Points]:
    half = len(points) // 2
    return points[:half], points[: half - 1 : -1]


def _halved(points: Points) -> tuple[Points, Points]:
    """The two edges of a polygon as it is given, or as it would be from another start, where that is far better.

    Points of the two edges lie across from each other, about a text height apart. From a wrong start some of these
    distances are those between neighbours and others as long as the word. Edges that meet in a tip are left as given.
    """
    starts = [_halves(np.roll(points, -start, axis=0)) for start in range(len(points) // 2)]
    distances = np.array([np.linalg.norm(top - bottom, axis=1) for top, bottom in starts])
    unevenness = distances.std(1) / distances.mean(1)
    best = int(unevenness.argmin())
    tapers = distances[0, [0, -1]].min() < TIP * distances[0].mean()
    plain = unevenness[0] >= max(UNEVEN, FAR_BETTER * unevenness[best]) and not tapers
    return starts[best] if plain else starts[0]


def _perspective(corners: Points) -> Place:
    """The plane perspective map from [-1, 1]² to a convex quadrilateral (4, 2), clockwise from the top left; outside it
    goes on straight, since the horizon may be near."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    matrix = cv2.getPerspectiveTransform(square, corners.astype(np.float32))

    def place(flat: Points) -> Points:
        inside = np.clip(flat, -1, 1)
        here = inside @ matrix[:, :2].T + matrix[:, 2]
        points = here[:, :2] / here[:, 2:]
        step = (flat - inside) @ matrix[:, :2].T
        return points + (step[:, :2] - points * step[:, 2:]) / here[:, 2:]

    return place


def _between(top: Points, bottom: Points) -> Place:
    """The map from [-1, 1]² to what lies between two edges, along straight lines that join the points at the same share
    of both edges' lengths; outside it goes on straight."""
    upper, lower = (_evenly(edge) for edge in (top, bottom))

    def place(flat: Points) -> Points:
        position = (flat[:, :1] + 1) / 2 * (len(upper) - 1)
        index = np.clip(np.floor(position[:, 0]), 0, len(upper) - 2).astype(int)
        rest = position - index[:, None]
        above, below = (edge[index] + (edge[index + 1] - edge[index]) * rest for edge in (upper, lower))
        return above + (below - above) * ((flat[:, 1:] + 1) / 2)

    return place


def _evenly(edge: Points) -> Points:
    """Points (_CURVE_SAMPLES, 2) at equal distances along the smooth curve through those of an edge."""
    curve = _smooth(edge)
    along = _distances(curve)
    wanted = np.linspace(0, along[-1], _CURVE_SAMPLES)
    return np.column_stack([np.interp(wanted, along, curve[:, axis]) for axis in (0, 1)])


def _smooth(edge: Points) -> Points:
    """A smooth curve through the points of an edge, as 4 · ``_CURVE_SAMPLES`` points.

    Between two points it is a cubic whose directions at both are those of the parabolas through each and its
    neighbours. Straight lines would miss a half circle of seven points by 7 % of the text's height, it by 0.5 %.
    """
    along = _distances(edge)
    moved = np.concatenate([[True], np.diff(along) > 0])
    knots, along = edge[moved], along[moved]
    if len(knots) < 3:
        return knots[[0, -1]]
    step = np.diff(along)[:, None]
    slope = np.diff(knots, axis=0) / step
    inner = (slope[:-1] * step[1:] + slope[1:] * step[:-1]) / (step[:-1] + step[1:])
    tangent = np.concatenate([2 * slope[:1] - inner[:1], inner, 2 * slope[-1:] - inner[-1:]])
    wanted = np.linspace(0, along[-1], 4 * _CURVE_SAMPLES)
    part = np.clip(np.searchsorted(along, wanted) - 1, 0, len(step) - 1)
    share = (wanted - along[part])[:, None] / step[part]
    start = share * (1 - share) ** 2 * (tangent[part] - slope[part])
    end = share**2 * (1 - share) * (slope[part] - tangent[part + 1])
    return knots[part] + step[part] * (share * slope[part] + start + end)


def _distances(points: Points) -> NDArray[np.float64]:
    """Distance (N,) of each point from the first, along the line through all."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _around(points: Points) -> Points | None:
    """Four points clockwise, or None if that is not a convex quadrilateral."""
    x, y = (points - points.mean(0)).T
    ordered = points[np.argsort(np.arctan2(y, x))]
    return ordered if _is_convex(ordered) else None


def _is_convex(quad: Points) -> bool:
    """Whether four points run clockwise around a convex quadrilateral."""
    sides = np.roll(quad, -1, axis=0) - quad
    return bool((_cross(sides, np.roll(sides, -1, axis=0)) > 0).all())


def _quad_edges(corners: Points) -> tuple[Points, Points]:
    """Top and bottom edge of a quadrilateral (4, 2) that runs clockwise from any corner, see ``text_edges``."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    lengths = sides[:2] + sides[2:]
    starts = range(4)
    if lengths.max() >= ELONGATED * lengths.min():
        starts = range(int(lengths.argmax()), 4, 2)
    turned = [np.roll(corners, -start, axis=0) for start in starts]
    best = min(turned, key=_slant)
    return best[:2], best[:1:-1]


def _slant(corners: Points) -> tuple[float, float]:
    """How far a quadrilateral's text is from running to the right, in degrees, and less for running downwards."""
    x, y = corners[1] - corners[0] + corners[2] - corners[3]
    angle = float(np.degrees(np.arctan2(y, x)))
    return round(abs(angle), 6), -angle


def _turned_back(reading: Points) -> bool:
    """Whether a direction (2,) runs to the left, or straight up."""
    return bool(reading[0] < 0 or (reading[0] == 0 and reading[1] < 0))


def _crosses_itself(points: Points) -> bool:
    """Whether two sides of a polygon cross; touching does not count."""
    starts, ends = points, np.roll(points, -1, axis=0)

    def side_of(targets: Points) -> NDArray[np.float64]:
        """On which side of each polygon side (rows) each of the points lies, -1, 0 or 1."""
        return np.sign(_cross((ends - starts)[:, None], targets[None] - starts[:, None]))

    apart = side_of(starts) * side_of(ends) < 0
    return bool((apart & apart.T).any())


def _signed_area(points: Points) -> float:
    """Positive for a polygon that runs clockwise on the screen."""
    return float(_cross(points, np.roll(points, -1, axis=0)).sum() / 2)


def _cross(a: Points, b: Points) -> NDArray[np.float64]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], np.float64)
