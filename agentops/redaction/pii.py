"""Personal data in texts: mail addresses, phones, cards, accounts, and what else people are known by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agentops.redaction.findings import Finding, resolve
from agentops.redaction.gates import Gate, is_card, names_number

if TYPE_CHECKING:
    from agentops.redaction.numbers import Run
    from agentops.redaction.presidio import Presidio

__all__ = ["DEFAULT_KINDS", "Pii"]

#: What is looked for if nothing else is said. Web addresses and dates are not among them: they are all over what agents
#: say, are needed to understand it, and tell little of a person; a mail address inside a web address is found.
DEFAULT_KINDS = frozenset(
    {
        "CREDIT_CARD",
        "CRYPTO",
        "EMAIL_ADDRESS",
        "IBAN_CODE",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "PHONE_NUMBER",
        "US_ITIN",
        "US_PASSPORT",
        "US_SSN",
    }
)
#: Found too where a model is given.
MODEL_KINDS = frozenset({"PERSON", "LOCATION"})
#: Addresses that every machine has: they tell nothing.
_NOBODY = frozenset({"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::"})  # noqa: S104 - looked for, not bound
#: Holds what makes each recogniser load what it loads at first use.
_SAMPLE = "mail nobody@example.com, at 192.0.2.1 or 2001:db8::1, or 19 99 99 99 99, then 4012888888881881"


class Pii:
    """Finds personal data with the recognisers of presidio-analyzer, and some of its own.

    Nothing is loaded before `find` or `warm` is called, nothing is downloaded, and no socket is opened.

    Args:
        kinds: what to find, as presidio names its entities; `DEFAULT_KINDS` if not given.
        languages: two-letter codes; words near a number are understood in these.
        allow: texts that are no findings, exactly as they are written.
        extra: recognisers of your own, as presidio has them (`PatternRecognizer`, or any `EntityRecognizer`). Their
            kinds are found in addition, and with them every text is read.
        model: a spaCy model that is installed, by name or path; with it names and places are found. Slow.
        threshold: how sure a finding has to be, from 0 to 1. Below 0.4 any nine digits are a number of a person.
    """

    def __init__(
        self,
        kinds: Iterable[str] | None = None,
        *,
        languages: Sequence[str] = ("en",),
        allow: Iterable[str] = (),
        extra: Sequence[Any] = (),
        model: str | None = None,
        threshold: float = 0.4,
    ) -> None:
        wanted = DEFAULT_KINDS | (MODEL_KINDS if model else frozenset()) if kinds is None else frozenset(kinds)
        self.kinds = wanted.union(*(one.supported_entities for one in extra))
        self._languages = tuple(languages)
        self._allow = _NOBODY | frozenset(allow)
        self._extra = tuple(extra)
        self._model = model
        self._threshold = threshold
        self._gate = Gate(self.kinds)
        #: What `calm` promises holds for it.
        self.is_usual = self.kinds <= DEFAULT_KINDS
        self._always = bool(extra)
        self._lock = threading.Lock()
        self._presidio: Presidio | None = None

    def warm(self) -> None:
        """Load all that `find` needs, which takes seconds.

        Raises:
            UsageError: presidio or the model is not installed, or a kind is not known.
        """
        self._loaded()
        self.find(_SAMPLE)

    def may_hold(self, data: bytes) -> bool:
        """False promises that `find` finds nothing in any text inside `data`, which is one text or many, as UTF-8."""
        return self._always or self._gate.opens(data)

    def find(self, text: str) -> list[Finding]:
        """What is personal in `text`, without overlaps and in its order.

        Raises:
            UsageError: as `warm`.
        """
        if not self.may_hold(text.encode("utf-8", "surrogatepass")):
            return []
        sure = [one for one in self._all(text, self._loaded()) if one.score >= self._threshold]
        return [one for one in resolve(set(sure)) if text[one.start : one.end] not in self._allow]

    def number_gate(self, data: bytes) -> Callable[[str], bool]:
        """What tells of a whole number in `data`: False promises that `find_number` finds nothing in it."""
        named = self._always or names_number(data)
        cards = "CREDIT_CARD" in self.kinds
        return lambda number: (named and self.may_hold(number.encode())) or (cards and is_card(number))

    def find_number(self, number: str, key: str | None) -> list[Finding]:
        """As `find`, in a whole number: most of them count or measure, and only cards are known by themselves.

        Args:
            number: its digits.
            key: under which it stands in a mapping. If that names what people have, the number may be any such.
        """
        if self._always or (key is not None and names_number(key)):
            shift = len(key or "") + 2
            named = [
                Finding(f.start - shift, f.end - shift, f.kind, f.score)
                for f in self.find(f"{key}: {number}")
                if f.start >= shift
            ]
            return named or self.find(number)
        if "CREDIT_CARD" in self.kinds and is_card(number) and number not in self._allow:
            return [Finding(0, len(number), "CREDIT_CARD", 1.0)]
        return []

    def _loaded(self) -> Presidio:
        if self._presidio is None:
            with self._lock:
                if self._presidio is None:
                    from agentops.redaction.presidio import Presidio

                    self._presidio = Presidio(self.kinds, self._languages, self._extra, self._model)
        return self._presidio

    def _all(self, text: str, presidio: Presidio) -> Iterator[Finding]:
        from agentops.redaction import addresses, numbers

        taken: list[Finding] = []
        for kind, search in (
            ("EMAIL_ADDRESS", addresses.emails),
            ("IP_ADDRESS", addresses.ips),
            ("MAC_ADDRESS", addresses.macs),
            ("CRYPTO", addresses.cryptos),
            ("IBAN_CODE", numbers.ibans),
            ("URL", addresses.urls),
        ):
            if kind in self.kinds:
                found = list(search(text, presidio))
                yield from found
                if kind != "URL":
                    taken += found
        yield from self._in_runs(text, presidio, taken)
        yield from presidio.by_reading(text)

    def _in_runs(self, text: str, presidio: Presidio, taken: list[Finding]) -> Iterator[Finding]:
        """Numbers: cards, then those that authorities give, and phones in what none of them is."""
        from agentops.redaction import numbers, phones

        identifiers = [kind for kind in ("US_SSN", "US_ITIN", "US_PASSPORT") if kind in self.kinds]
        taken.sort()
        at = asked = 0
        for run in numbers.runs(text):
            found = list(numbers.cards(text, run)) if "CREDIT_CARD" in self.kinds else []
            for kind in identifiers:
                found += numbers.identifiers(text, run, kind, presidio)
            sure = [one for one in found if one.score >= self._threshold]
            yield from sure
            if "PHONE_NUMBER" not in self.kinds:
                continue
            for part in phones.parts(text, run):
                while at < len(taken) and taken[at].end <= part.start:
                    at += 1
                if not _covered(part, taken[at : at + 3] + sure):
                    asked += part.digits
                    yield from phones.phones(text, part, presidio, plans=asked <= phones.PLANS_MOST)


def _covered(run: Run, found: list[Finding]) -> bool:
    """Whether what is found leaves too few digits of a run for a number."""
    left = [(start, end) for start, end in run.groups if not any(f.start < end and start < f.end for f in found)]
    return sum(end - start for start, end in left) < 7
