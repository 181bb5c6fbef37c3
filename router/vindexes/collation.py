"""Primary collation keys as `unicode_loose_*` needs them: letters without case, accents and width.

Vitess takes them from Go's golang.org/x/text/collate (root collation of CLDR 23, Unicode 6.2, strength 1), whose
keys are no part of any standard: its own implicit weights, its own reordering of combining marks. The weights are in
`data/collation_root.txt.gz` (see `data/README.md`); this file computes the same keys from them.

How a key is made: each character (or contraction: several that count as one) gives collation elements, each with a
primary weight and a combining class; elements of combining marks are put in order of their class; the primary
weights other than 0 are written, in 2 bytes up to 0x7FFF, else in 3.

Two ways lead there. Almost every text is a plain concatenation of its characters' keys, which `str.translate` does.
Only a text that may hold a contraction, or combining marks whose order matters, goes through the elements.
"""

from __future__ import annotations

import gzip
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Final

Element = tuple[int, int]
"""Primary weight, canonical combining class."""

MAX_MARKS: Final = 30
"""Combining marks in a row. Beyond it Go's result depends on how it cuts the text; we refuse."""

_CACHED_CHARACTERS: Final = 20_000
_OTHER_OFFSET: Final = 0x50000  # implicit weight of what is neither in the table nor an ideograph
_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3


class CollationError(ValueError):
    """A text whose key is not certain. The message says why."""


class _Trie:
    """Contractions that begin with one character. `children`: next character -> what follows; `elements`: of the
    contraction that ends here, None when none does."""

    __slots__ = ("children", "elements")

    def __init__(self) -> None:
        self.children: dict[str, _Trie] = {}
        self.elements: tuple[Element, ...] | None = None


class RootCollation:
    """The table, and the keys made from it. Takes 1 MB; `root_collation()` gives the one of the process."""

    __slots__ = (
        "_classes",
        "_codes",
        "_contractions",
        "_implicit",
        "_keys",
        "_lines",
        "_offsets",
        "_uncertain",
    )

    def __init__(self, table: bytes) -> None:
        """`table`: the text of `data/collation_root.txt.gz`."""
        sections = _sections(table)
        self._implicit = sorted(_ranges(sections["implicit"], 16))
        self._classes: dict[str, tuple[int, int]] = {}
        for line in sections["classes"].decode().splitlines():
            span, lead, trail = line.split(" ")
            low, _, high = span.partition("-")
            for code in range(int(low, 16), int(high, 16) + 1):
                self._classes[chr(code)] = (int(lead), int(trail))
        self._contractions: dict[str, _Trie] = {}
        for line in sections["contractions"].decode().splitlines():
            text, _, elements = line.partition(" ")
            self._add_contraction([chr(int(code, 16)) for code in text.split("+")], _elements(elements))
        # The 24,000 characters stay packed: a code a number, its elements a line of text read when it is first met.
        self._lines = sections["elements"]
        self._codes = array("I")
        self._offsets = array("I")
        at = 0
        for entry in self._lines.split(b"\n"):
            digits, blank, _ = entry.partition(b" ")
            if blank:
                self._codes.append(int(digits, 16))
                self._offsets.append(at + len(digits) + 1)
            at += len(entry) + 1
        self._keys = _KeyCache(self)
        self._uncertain = self._uncertain_pattern()

    def key(self, text: str) -> bytes:
        """The primary collation key. Raises CollationError for more than MAX_MARKS combining marks in a row, where
        their order matters."""
        if text.isascii() or self._uncertain.search(text) is None:
            return text.translate(self._keys).encode("latin-1")
        return b"".join(encoded_weight(primary) for primary, _ in self._ordered(text) if primary)

    def elements(self, character: str) -> tuple[Element, ...]:
        """The collation elements of one character by itself."""
        code = ord(character)
        if _HANGUL_FIRST <= code <= _HANGUL_LAST:
            lead, rest = divmod(code - _HANGUL_FIRST, 588)
            vowel, trail = divmod(rest, 28)
            jamo = (0x1100 + lead, 0x1161 + vowel, *((0x11A7 + trail,) if trail else ()))
            return tuple(element for part in jamo for element in self.elements(chr(part)))
        index = bisect_left(self._codes, code)
        if index < len(self._codes) and self._codes[index] == code:
            start = self._offsets[index]
            end = self._lines.find(b"\n", start)
            return _elements(self._lines[start : end if end >= 0 else None].decode())
        at = bisect_right(self._implicit, (code, 0x110000, 0)) - 1
        if at >= 0 and code <= self._implicit[at][1]:
            return ((code + self._implicit[at][2], 0),)
        return ((code + _OTHER_OFFSET, 0),)

    def _add_contraction(self, characters: list[str], elements: tuple[Element, ...]) -> None:
        state = self._contractions.setdefault(characters[0], _Trie())
        for character in characters[1:]:
            state = state.children.setdefault(character, _Trie())
        state.elements = elements

    def _uncertain_pattern(self) -> re.Pattern[str]:
        """Finds the places where concatenation may be wrong: a contraction, or a mark with a weight of its own
        beside another mark. May find too much, never too little."""
        suffixes = set[str]()
        states = list(self._contractions.values())
        while states:
            children = states.pop().children
            suffixes.update(children)
            states.extend(children.values())
        marks = {character for character, (lead, _) in self._classes.items() if lead}
        weighted = set[str]()
        for line in self._lines.decode().splitlines():
            if "/" in line:
                code, _, elements = line.partition(" ")
                if any(primary and order for primary, order in _elements(elements)):
                    weighted.add(chr(int(code, 16)))
        # L and l need no look at marks: what they contract with (a middle dot) is none.
        starters = self._contractions.keys() - {"L", "l"}
        return re.compile(
            f"[Ll](?=[{_char_class(self._contractions['l'].children)}])"
            f"|[{_char_class(starters)}](?=[{_char_class(suffixes | marks)}])"
            f"|[{_char_class(weighted)}](?=[{_char_class(marks | weighted)}])"
            f"|[{_char_class(marks)}](?=[{_char_class(weighted)}])"
        )

    def _ordered(self, text: str) -> Iterator[Element]:
        """The elements of a text in Go's order: runs of marks sorted by class, stably, whole blocks at a time.

        A block is what one character or contraction gave. The steps follow Go's iterator (internal/colltab/iter.go)
        one by one, since its results for odd blocks (a letter with marks, then more marks) depend on them.
        """
        self._check_runs(text)
        blocks = self._blocks(text)
        held: list[Element] = []
        for block in blocks:
            held.extend(block)
            while held:
                ready = self._segment(held, blocks)
                yield from held[:ready]
                del held[:ready]

    def _segment(self, held: list[Element], blocks: Iterator[tuple[Element, ...]]) -> int:
        """How many elements at the head of `held` are in their final order; takes further blocks as needed."""
        previous = held[-1][1]
        if previous == 0:
            return len(held)
        if held[0][1] == 0:
            return next(i for i, (_, order) in enumerate(held) if order)
        for block in blocks:
            start = len(held)
            held.extend(block)
            order = block[0][1]
            if order == 0 or len(held) > MAX_MARKS:
                return start
            if order < previous:
                at = start - 1
                while at > 0 and order < held[at - 1][1]:
                    at -= 1
                held[at:] = held[start:] + held[at:start]
            else:
                previous = order
        return len(held)

    def _blocks(self, text: str) -> Iterator[tuple[Element, ...]]:
        at = 0
        while at < len(text):
            state = self._contractions.get(text[at])
            if state is None:
                yield self.elements(text[at])
                at += 1
            else:
                elements, at = self._contraction(text, at, state)
                yield elements

    def _contraction(self, text: str, at: int, state: _Trie) -> tuple[tuple[Element, ...], int]:
        """The elements of the longest contraction that begins at `at`, and where the text goes on.

        Combining marks between its parts do not break it, as long as their classes rise (UCA S2.1); they follow it.
        """
        base = at
        found: _Trie | None = None
        skipped = skipped_at_match = ""
        at, match = base + 1, base + 1
        done = False

        def advance(at: int) -> int:
            nonlocal state, found, match, done
            while at < len(text):
                following = state.children.get(text[at])
                if following is None:
                    return at
                at += 1
                if following.elements is not None:
                    found, match = following, at
                if not following.children:
                    done = True
                    return at
                state = following
            return at

        at = advance(at)
        if (
            not done
            and at < len(text)
            and (classes := self._classes.get(text[at])) is not None
            and classes[0]
        ):
            gap = at
            previous = classes[1]
            at += 1
            while at < len(text) and not done:
                lead, trail = self._classes.get(text[at], (0, 0))
                if lead == 0 or previous >= lead:
                    break
                previous = trail
                beyond = advance(at)
                if beyond == at:
                    at += 1
                    continue
                skipped += text[gap:at]
                if match == beyond:
                    skipped_at_match = skipped
                at = gap = beyond
        elements = self.elements(text[base]) if found is None or found.elements is None else found.elements
        for block in self._blocks(skipped_at_match):
            elements += block
        return elements, match

    def _check_runs(self, text: str) -> None:
        run = 0
        for character in text:
            run = run + 1 if self._classes.get(character, (0, 0))[0] else 0
            if run > MAX_MARKS:
                raise CollationError(f"more than {MAX_MARKS} combining marks follow one another")


class _KeyCache(dict[int, str]):
    """Code point -> its key as latin-1 text: what `str.translate` asks. Bounded, since clients choose the text."""

    __slots__ = ("_collation",)

    def __init__(self, collation: RootCollation) -> None:
        super().__init__()
        self._collation = collation

    def __missing__(self, code: int) -> str:
        elements = self._collation.elements(chr(code))
        key = b"".join(encoded_weight(primary) for primary, _ in elements if primary).decode("latin-1")
        if len(self) >= _CACHED_CHARACTERS:
            self.clear()
        self[code] = key
        return key


def encoded_weight(primary: int) -> bytes:
    """A primary weight as Go writes it into a key."""
    if primary <= 0x7FFF:
        return primary.to_bytes(2, "big")
    return (primary | 0x800000).to_bytes(3, "big")


@cache
def root_collation() -> RootCollation:
    """The collation of this process, read on first use (30 ms)."""
    packed = files("router.vindexes").joinpath("data/collation_root.txt.gz").read_bytes()
    return RootCollation(gzip.decompress(packed))


def _sections(table: bytes) -> dict[str, bytes]:
    parts = re.split(rb"^\[(\w+)\]\n", table, flags=re.MULTILINE)
    return {parts[i].decode(): parts[i + 1] for i in range(1, len(parts), 2)}


def _ranges(section: bytes, base: int) -> Iterator[tuple[int, int, int]]:
    for line in section.decode().splitlines():
        span, value = line.split(" ")
        low, _, high = span.partition("-")
        yield int(low, 16), int(high, 16), int(value, base)


def _elements(text: str) -> tuple[Element, ...]:
    pairs = (part.partition("/") for part in text.split(" "))
    return tuple((int(primary, 16), int(order or "0")) for primary, _, order in pairs)


def _char_class(characters: Iterable[str]) -> str:
    return "".join(map(re.escape, sorted(characters)))
