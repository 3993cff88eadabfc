"""The evaluation report: one HTML file that needs nothing else, with the wrong crops beside their rectified form."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template

import cv2
import numpy as np

from rectify.shape import resize
from train.causes import CAUSES
from train.crops import Image
from train.evaluate import Outcome

MAX_CASES = 50
"""Crops shown of each set and kind; a report stays a few megabytes."""
MAX_PICTURE = (360, 96)
"""Largest (width, height) of an embedded picture, pixels."""

Pictures = Callable[[Outcome], Sequence[tuple[str, Image]]]
"""The pictures of a crop, each with its caption."""


@dataclass
class Cases:
    """The first ``MAX_CASES`` crops of one kind, and how many there were."""

    title: str
    outcomes: list[Outcome] = field(default_factory=list)
    count: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a crop, and keep it while there is room."""
        self.count += 1
        if len(self.outcomes) < MAX_CASES:
            self.outcomes.append(outcome)


class ReportSet:
    """The crops of one set that its report shows: harmed, then fixed, then those that are wrong anyway, by cause."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._harmed = Cases("harmed: right before, wrong after")
        self._fixed = Cases("fixed: wrong before, right after")
        self._wrong = {cause: Cases(f"wrong: {cause}") for cause in CAUSES}
        self._unexplained = Cases("wrong")

    def add(self, outcome: Outcome) -> None:
        """Take the crop in if it belongs into the report."""
        if outcome.harmed:
            self._harmed.add(outcome)
        elif outcome.fixed:
            self._fixed.add(outcome)
        elif not outcome.right:
            self._wrong.get(outcome.cause or "", self._unexplained).add(outcome)

    def sections(self, pictures: Pictures) -> str:
        """HTML of the set's crops."""
        kinds = [
            cases for cases in (self._harmed, self._fixed, *self._wrong.values(), self._unexplained) if cases.count
        ]
        body = "".join(_section(cases, pictures) for cases in kinds) or "<p>Every crop was read right.</p>"
        return f"<h2>{escape(self.name)}</h2>{body}"


def page(
    title: str, facts: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]], sections: Iterable[str]
) -> str:
    """The whole report.

    Args:
        title: plain text, as everything here but ``sections``.
        facts: lines under the title that say how it was measured.
        header, rows: the figures; the last row is over all.
        sections: HTML, from ``ReportSet.sections``.
    """
    return _PAGE.substitute(
        title=escape(title),
        facts="<br>".join(map(escape, facts)),
        figures=_table(header, rows),
        sections="".join(sections),
    )


def table_section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """HTML of a further table, with its title above and a remark below; all plain text."""
    remark = f"<p>{escape(note)}</p>" if note else ""
    table = f"<div class=scroll>{_table(header, rows)}</div>" if rows else "<p>None.</p>"
    return f"<h3>{escape(title)}</h3>{table}{remark}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The last row, where it is over all, stands out."""
    over_all = " class=total" if rows and rows[-1][0] == "all" else ""
    body = "".join(_row("td", row) for row in rows)
    return f"<table{over_all}><thead>{_row('th', header)}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _section(cases: Cases, pictures: Pictures) -> str:
    cards = "".join(_card(outcome, pictures) for outcome in cases.outcomes)
    hidden = cases.count - len(cases.outcomes)
    note = f"<p>{hidden} more are not shown.</p>" if hidden else ""
    return f"<h3>{escape(cases.title)} ({cases.count})</h3><div class=cards>{cards}</div>{note}"


def _card(outcome: Outcome, pictures: Pictures) -> str:
    if outcome.error is not None:
        shown = f"<p class=error>{escape(outcome.error)}</p>"
    else:
        shown = "".join(_figure(caption, image) for caption, image in pictures(outcome))
    lines = [("label", outcome.label, ""), ("read", outcome.text, _verdict(outcome.right, outcome.confidence))]
    if outcome.raw_text is not None:
        lines.append(("raw", outcome.raw_text, _verdict(outcome.raw_right, outcome.raw_confidence)))
    texts = "".join(f"<dt>{name}<dd><b>{escape(text)}</b> {extra}" for name, text, extra in lines)
    return f"<article><small>{outcome.number}</small>{shown}<dl>{texts}</dl></article>"


def _verdict(right: bool, confidence: float) -> str:
    kind = "right" if right else "wrong"
    return f"<span class={kind}>{kind} {confidence:.2f}</span>"


def _figure(caption: str, image: Image) -> str:
    name = escape(caption)
    return f'<figure><img alt="{name}" src="{_data_uri(image)}"><figcaption>{name}</figcaption></figure>'


def _data_uri(image: Image) -> str:
    """The picture, shrunk to ``MAX_PICTURE``, as a JPEG inside an address."""
    height, width = image.shape[:2]
    scale = min(1.0, MAX_PICTURE[0] / width, MAX_PICTURE[1] / height)
    small = resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root {
  --text: #1b1f24; --faint: #59636e; --page: #ffffff; --card: #f4f6f8; --line: #d5dae0; --good: #1a7f37; --bad: #c62828
}
@media (prefers-color-scheme: dark) { :root {
  --text: #e6e9ed; --faint: #9aa4af; --page: #14171b; --card: #1f242a; --line: #39414a; --good: #4cc26a; --bad: #ff7b72
} }
body { font: 16px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page) }
body { margin: 0 auto; max-width: 75rem; padding: 1rem }
h1 { font-size: 1.5rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem }
p, small, figcaption, dt { color: var(--faint) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.total tbody tr:last-child td { font-weight: 600 }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .8rem }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem }
article { overflow-wrap: anywhere; min-width: 0 }
small { display: block }
figure { margin: .2rem .4rem .2rem 0; display: inline-block; vertical-align: top; max-width: 100% }
img { display: block; height: 4.5rem; max-width: 100%; object-fit: contain; object-position: left bottom }
figcaption { font-size: .75rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: .4rem 0 0 }
dd { margin: 0 }
b { font-family: ui-monospace, monospace; white-space: pre-wrap }
.right { color: var(--good) }
.wrong, .error { color: var(--bad) }
</style>
</head>
<body>
<h1>$title</h1>
<p>$facts</p>
<div class=scroll>$figures</div>
$sections
</body>
</html>
""")
