"""The language of the search box, of saved views and of `q` in the API. Plain Python: text in, terms out.

web 10.0.0.      words: part of the name, size or image, the cloud's own id, the start of an address
state:running    a key; several values of one key are alternatives: state:running,stopped or written twice
-agent:managed   all but these
"two words"      quotes keep spaces, colons and a leading minus; \\" is a quote inside
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from providers.platforms import PLATFORMS

STATES = ("running", "stopped", "suspended", "changing", "failed", "unknown")
AGENTS = ("managed", "missing", "pending", "offline", "off")
LISTED = ("yes", "no")

KEYS: dict[str, Collection[str]] = {  # the values of each key; none: any text
    "state": STATES,
    "agent": AGENTS,
    "account": (),
    "platform": PLATFORMS.keys(),
    "ip": (),
    "name": (),
    "id": (),
    "size": (),
    "image": (),
    "region": (),
    "listed": LISTED,
}
FACETS = ("state", "agent", "account")
MOST_CHARACTERS, MOST_TERMS = 500, 30
_KEY = re.compile(r"([A-Za-z_]+):")
_ADDRESS = re.compile(r"[0-9A-Fa-f]*(?:[.:][0-9A-Fa-f]*)+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PLAIN = re.compile(r'[^\s",:\\-][^\s",:\\]*')


class QueryError(ValueError):
    """The text is not a query; `words` says what is wrong and what would be right."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


@dataclass(frozen=True, slots=True)
class Term:
    """`key` is empty for a word. A term with several values is met by any of them."""

    key: str
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        text = ",".join(quoted(value) for value in self.values)
        return f"{'-' if self.negated else ''}{self.key}{':' if self.key else ''}{text}"


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked: every term must hold. `str()` writes it back; `parse` of that is the same query."""

    terms: tuple[Term, ...] = field(default=())

    def __str__(self) -> str:
        return " ".join(str(term) for term in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def values(self, key: str) -> frozenset[str]:
        """The values that are asked for, without those that are ruled out."""
        return frozenset(value for term in self.terms if term.key == key and not term.negated for value in term.values)

    def without(self, *keys: str) -> Query:
        return Query(tuple(term for term in self.terms if term.key not in keys))

    def only(self, *keys: str) -> Query:
        return Query(tuple(term for term in self.terms if term.key in keys))

    def toggled(self, key: str, value: str) -> Query:
        """With that one more alternative, or without it when it is there: what a click on a facet asks for."""
        had = [given for term in self.terms if term.key == key and not term.negated for given in term.values]
        wanted = tuple(given for given in had if given != value) if value in had else (*had, value)
        kept = tuple(term for term in self.terms if term.key != key or term.negated)
        return Query((*kept, Term(key, wanted)) if wanted else kept)


def quoted(value: str) -> str:
    """The value as it must be written in a query."""
    if _PLAIN.fullmatch(value) or _is_address(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse(text: str) -> Query:
    """Read a query, strictly. Raises QueryError with a sentence."""
    if len(text) > MOST_CHARACTERS:
        raise QueryError(f"This query is too long. Write at most {MOST_CHARACTERS} characters.")
    if _UNSTORABLE.search(text):
        raise QueryError("This query holds a character that cannot be searched for. Type it again.")
    terms: list[Term] = []
    for term in _terms(text):
        before = next(
            (i for i, t in enumerate(terms) if term.key and (t.key, t.negated) == (term.key, term.negated)), None
        )
        if before is None:
            terms.append(term)
        else:  # the same key again: one more alternative
            fresh = tuple(value for value in term.values if value not in terms[before].values)
            terms[before] = Term(term.key, (*terms[before].values, *fresh), term.negated)
    if sum(len(term.values) for term in terms) > MOST_TERMS:
        raise QueryError(f"This query asks for too much at once. Write at most {MOST_TERMS} words and values.")
    return Query(tuple(terms))


def _terms(text: str) -> Iterator[Term]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        negated = text[at] == "-"
        at += negated
        if at == len(text) or text[at].isspace():
            raise QueryError('Write what to leave out right after the "-", such as -state:stopped.')
        key = _key_at(text, at)
        at += len(key) + 1 if key else 0
        values, at = _values(text, at, key)
        yield Term(key.lower(), values, negated)


def _key_at(text: str, at: int) -> str:
    """The key that is written here; empty for a word. An address may have colons too."""
    found = _KEY.match(text, at)
    if not found or _is_address(re.split(r"\s", text[at:], maxsplit=1)[0]):
        return ""
    key = found[1]
    if key.lower() not in KEYS:
        raise QueryError(
            f'There is no key "{key}:". The keys are {_listed(KEYS)}. To search for the text itself, put it in quotes.'
        )
    return key


def _values(text: str, at: int, key: str) -> tuple[tuple[str, ...], int]:
    """The value here, or several with commas between when they belong to a key; and where they end."""
    values: list[str] = []
    while True:
        value, at = _value(text, at, ends="," if key else "")
        if not value:
            example = next(iter(KEYS.get(key.lower(), ())), "10.0.0." if key.lower() == "ip" else "web")
            here = f'after "{key}:"' if key else "between the quotes"
            raise QueryError(f"Write something {here}, such as {f'{key}:' if key else ''}{example}.")
        values.append(_checked(key.lower(), value))
        if not (key and at < len(text) and text[at] == ","):
            break
        at += 1
    if at < len(text) and not text[at].isspace():
        raise QueryError(f'Put a space after the quotes, before "{text[at : at + 12]}".')
    return tuple(dict.fromkeys(values)), at


def _value(text: str, at: int, ends: str) -> tuple[str, int]:
    if at < len(text) and text[at] == '"':
        return _in_quotes(text, at + 1)
    start = at
    while at < len(text) and not text[at].isspace() and text[at] not in ends and text[at] != '"':
        at += 1
    if at < len(text) and text[at] == '"' and at > start:
        raise QueryError('A quote stands in the middle of a word. Write \\" inside quotes, or put a space before it.')
    return text[start:at], at


def _in_quotes(text: str, at: int) -> tuple[str, int]:
    made: list[str] = []
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            made.append(text[at + 1])
            at += 2
        elif text[at] == '"':
            return "".join(made).strip(), at + 1
        else:
            made.append(text[at])
            at += 1
    raise QueryError('A quote is opened and not closed. Add a " at the end.')


def _checked(key: str, value: str) -> str:
    """The value as it is kept: words of a fixed list in lower case, addresses that can be addresses."""
    allowed = KEYS.get(key, ())
    if allowed:
        if value.lower() not in allowed:
            raise QueryError(f'"{key}:{value}" is not known. Write one of {_listed(allowed)}.')
        return value.lower()
    if key == "ip" and not re.fullmatch(r"[0-9A-Fa-f.:]{1,45}", value):
        raise QueryError(f'"{value}" is not the start of an address. Write one such as ip:10.0.0. or ip:2001:db8:')
    return value


def _listed(words: Collection[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if isinstance(words, dict) else f"{', '.join(first)} or {last}"


def _is_address(word: str) -> bool:
    """It can be an address or the start of one, with a dot, or with two colons (one is a key's)."""
    return bool(_ADDRESS.fullmatch(word)) and (word.count(":") > 1 or "." in word) and len(word) <= 45


def whole_address(text: str) -> str:
    """The address in its usual spelling when it is a whole one, else empty: then it is the start of one."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def may_be_address(word: str) -> bool:
    """A word that is looked for among addresses too: 10.0., 2001:db8, 192.0.2.7."""
    return bool(_ADDRESS.fullmatch(word)) and len(word) <= 45
