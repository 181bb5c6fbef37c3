"""The rows of an INSERT as templates: what is the value of the sharding column, where the generated id goes."""

from __future__ import annotations

from core.errors import not_supported
from router.plan.context import encoded, template
from router.plan.plans import Bind, InsertRow, Template
from router.plan.purity import is_shareable
from router.sql.lex import BIND, MARK, NAME, ROW, WORD, Lexeme, syntax_error

GENERATED = -1
Item = list[Lexeme]


class ColumnCountError(Exception):
    """A row has more or fewer values than there are columns. `number`: which, from 1 on."""

    def __init__(self, number: int) -> None:
        self.number = number


class RowReader:
    """Reads `VALUES` rows from lexemes. `key`, `generated`: the positions of the sharding and the auto_increment column
    in a row, -1 for none; `appended`: the generated id is a value more at the end."""

    def __init__(
        self,
        text: str,
        lexemes: list[Lexeme],
        *,
        count: int,
        key: int,
        generated: int,
        appended: bool,
        sharded: bool,
        names: tuple[str, ...] = (),
    ) -> None:
        """`names`: the columns of a row, the appended one included, where each value is wanted by itself."""
        self._names = names
        self._text = text
        self._lexemes = lexemes
        self._count = count
        self._key = key
        self._generated = generated
        self._appended = appended
        self._sharded = sharded
        self._shapes: dict[str, InsertRow] = {}

    def read(self, at: int) -> tuple[tuple[InsertRow, ...], int]:
        """The rows from lexeme `at` on, and the first lexeme behind them."""
        rows: list[InsertRow] = []
        lexemes = self._lexemes
        while True:
            if at >= len(lexemes):
                raise syntax_error(self._text, len(self._text))
            if lexemes[at].kind is ROW:
                rows.append(self._plain(lexemes[at], len(rows) + 1))
                at += 1
            elif lexemes[at].text == "(":
                end = at + 1
                while not (lexemes[end].depth == 0 and lexemes[end].text == ")"):
                    end += 1
                rows.append(self._row(lexemes[at : end + 1], len(rows) + 1))
                at = end + 1
            else:
                raise syntax_error(self._text, lexemes[at].start)
            if at < len(lexemes) and lexemes[at].text == "," and lexemes[at].kind is MARK:
                at += 1
            else:
                return tuple(rows), at

    def _plain(self, lexeme: Lexeme, number: int) -> InsertRow:
        """A row of binds, NULL and DEFAULT only: rows of one shape differ in their first bind alone."""
        shape = self._shapes.get(lexeme.text)
        if shape is None:
            items = lexeme.text[1:-1].split(",") if lexeme.text[1:-1].strip() else []
            self._check_count(len(items), number)
            pieces: list[bytes | int] = []
            key = generated = None
            bind = 0
            text = "("
            for at, item in enumerate(items):
                text += ", " if at else ""
                item = item.strip()
                value = Bind(bind, item.startswith("-")) if item.endswith("?") else None
                if at == self._key and item.upper() == "DEFAULT" and at != self._generated:
                    raise self._no_value()
                if at == self._key:
                    key = value
                if at == self._generated:
                    generated = value
                if value is not None and at == self._generated:
                    self._check_not_negative(value)
                    pieces += (encoded(text), GENERATED)
                    text = ""
                    bind += 1
                elif value is not None:
                    text += "-" if value.negative else ""
                    pieces += (encoded(text), bind)
                    text = ""
                    bind += 1
                elif at == self._generated:
                    pieces += (encoded(text), GENERATED)
                    text = ""
                else:
                    text += item
            if self._appended:
                pieces += (encoded(text + (", " if items else "")), GENERATED)
                text = ""
            pieces.append(encoded(text + ")"))
            shape = self._shapes[lexeme.text] = InsertRow(
                Template(tuple(pieces)), key, generated, self._plain_items(items)
            )
        first = lexeme.bind
        return InsertRow(
            _moved_template(shape.text, first),
            _moved(shape.vindex_value, first),
            _moved(shape.sequence_value, first),
            tuple([(name, _moved_template(value, first)) for name, value in shape.items]),
        )

    def _plain_items(self, items: list[str]) -> tuple[tuple[str, Template], ...]:
        """The values by themselves, where they are wanted."""
        found: list[tuple[str, Template]] = []
        bind = 0
        for at, name in enumerate(self._names):
            text = items[at].strip() if at < len(items) else "DEFAULT"
            is_bind = text.endswith("?")
            pieces: tuple[bytes | int, ...] = (encoded(text),)
            if at == self._generated or at >= len(items):
                pieces = (GENERATED,)
            elif is_bind:
                pieces = (encoded(text[:-1]), bind)
            bind += is_bind
            found.append((name, Template(pieces)))
        return tuple(found)

    def _row(self, lexemes: list[Lexeme], number: int) -> InsertRow:
        items = items_of(lexemes[1:-1], 1)
        self._check_count(len(items), number)
        self._check_functions(lexemes)
        key = generated = None
        replaced: Item | None = None
        for at, item in enumerate(items):
            if at == self._key:
                known, key = _value(item)
                if not known and not (at == self._generated and _is_default(item)):
                    raise self._no_value()
            if at == self._generated:
                generated, replaced = self._generated_value(item), item
        start, end = lexemes[0].start, lexemes[-1].start
        if replaced is not None:
            pieces = [*template(self._text, lexemes, start, replaced[0].start), GENERATED]
            pieces += template(self._text, lexemes, replaced[-1].end, end)
        else:
            pieces = [*template(self._text, lexemes, start, end)]
        if self._appended:
            pieces += (b", " if items else b"", GENERATED)
        values = [self._value_text(item) for item in items]
        if generated is not None or replaced is not None:
            values[self._generated] = Template((GENERATED,))
        if self._appended:
            values.append(Template((GENERATED,)))
        named = tuple(zip(self._names, values, strict=True)) if self._names else ()
        return InsertRow(Template((*pieces, b")")), key, generated, named)

    def _value_text(self, item: Item) -> Template:
        return value_text(self._text, item)

    def _check_functions(self, lexemes: list[Lexeme]) -> None:
        if self._sharded and any(lexeme.kind is WORD and lexeme.text == "SELECT" for lexeme in lexemes):
            raise not_supported("a subquery in INSERT into a sharded table", "Read its value first.")

    def _check_count(self, count: int, number: int) -> None:
        if count != self._count:
            raise ColumnCountError(number)

    @staticmethod
    def _check_not_negative(value: Bind | None) -> None:
        if value is not None and value.negative:
            raise not_supported(
                "a negative value for a column that a sequence fills", "Write a positive one."
            )

    @staticmethod
    def _generated_value(item: Item) -> Bind | None:
        """What is given for the auto_increment column; None where an id shall be generated."""
        known, bind = _value(item)
        if not known and not _is_default(item):
            raise not_supported(
                "INSERT with an expression for a column that a sequence fills",
                "Write a literal or a parameter for it.",
            )
        RowReader._check_not_negative(bind)
        return bind

    @staticmethod
    def _no_value() -> Exception:
        return not_supported(
            "INSERT with an expression for the sharding column", "Write a literal or a parameter for it."
        )

    @staticmethod
    def assignments(
        text: str, lexemes: list[Lexeme], key: str, column: str, sharded: bool, owned: bool = False
    ) -> tuple[InsertRow, bool]:
        """The one row of `INSERT ... SET`, and whether it names the sharding column."""
        if not lexemes:
            raise syntax_error(text, len(text))
        if sharded and any(lexeme.kind is WORD and lexeme.text == "SELECT" for lexeme in lexemes):
            raise not_supported("a subquery in INSERT into a sharded table", "Read its value first.")
        vindex_value = sequence_value = None
        replaced: Item | None = None
        has_key = has_column = False
        items: list[tuple[str, Template]] = []
        for item in items_of(lexemes, 0):
            at = next((i for i, one in enumerate(item) if one.text in ("=", ":=") and one.kind is MARK), -1)
            if at < 1 or item[at - 1].kind not in (WORD, NAME) or at + 1 >= len(item):
                raise syntax_error(text, item[0].start if item else lexemes[0].start)
            name, value = item[at - 1].raw.lower(), item[at + 1 :]
            known, bind = _value(value)
            if name == key:
                has_key, vindex_value = True, bind
                if not known and not (name == column and _is_default(value)):
                    raise RowReader._no_value()
            if name == column:
                has_column = True
                sequence_value, replaced = RowReader._generated_value(value), value
            items.append((name, Template((GENERATED,)) if name == column else value_text(text, value)))
        start, end = lexemes[0].start, lexemes[-1].end
        pieces: list[bytes | int]
        if replaced is not None:
            pieces = [*template(text, lexemes, start, replaced[0].start), GENERATED]
            pieces += template(text, lexemes, replaced[-1].end, end)
        else:
            pieces = [*template(text, lexemes, start, end)]
        if column and not has_column:
            pieces += (b", `" + encoded(column).replace(b"`", b"``") + b"` = ", GENERATED)
            items.append((column, Template((GENERATED,))))
        named = tuple(items) if owned else ()
        return InsertRow(Template(tuple(pieces)), vindex_value, sequence_value, named), has_key


def value_text(text: str, item: Item) -> Template:
    """The text of one value; empty where it would be another each time it is computed."""
    if not item or not is_shareable(item):
        return Template(())
    return Template(template(text, item, item[0].start, item[-1].end))


def _moved_template(one: Template, by: int) -> Template:
    return Template(tuple([p + by if type(p) is int and p >= 0 else p for p in one.pieces]))


def _moved(bind: Bind | None, by: int) -> Bind | None:
    return Bind(bind.index + by, bind.negative) if bind is not None else None


def items_of(lexemes: list[Lexeme], depth: int) -> list[Item]:
    """The values between commas of this depth."""
    if not lexemes:
        return []
    items: list[Item] = [[]]
    for lexeme in lexemes:
        if lexeme.text == "," and lexeme.kind is MARK and lexeme.depth == depth:
            items.append([])
        else:
            items[-1].append(lexeme)
    return items


def _value(item: Item) -> tuple[bool, Bind | None]:
    """Whether an item is a literal, and its bind (None for NULL)."""
    if len(item) == 1 and item[0].kind is BIND:
        return True, Bind(item[0].bind)
    if len(item) == 2 and item[0].text in ("-", "+") and item[1].kind is BIND:
        return True, Bind(item[1].bind, item[0].text == "-")
    if len(item) == 4 and item[0].text == "LAST_INSERT_ID" and item[2].kind is BIND and item[3].text == ")":
        return True, Bind(item[2].bind)
    return len(item) == 1 and item[0].kind is WORD and item[0].text == "NULL", None


def literal_of(item: Item) -> Template | None:
    """The text of a literal, or of NULL, in whatever parentheses; None for any other item."""
    while len(item) > 2 and item[0].text == "(" and item[-1].text == ")" and item[-1].kind is MARK:
        item = item[1:-1]
    known, bind = _value(item)
    if not known or len(item) == 4:
        return None
    if bind is None:
        return Template((b"NULL",))
    return Template((b"-", bind.index) if bind.negative else (bind.index,))


def _is_default(item: Item) -> bool:
    return len(item) == 1 and item[0].kind is WORD and item[0].text == "DEFAULT"


__all__ = ["GENERATED", "RowReader", "items_of", "literal_of"]
