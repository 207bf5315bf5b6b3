"""Messages of another topic paired with images: which one belongs to an image is decided once, when it arrives.

An image's own message is the one with its stamp. It may arrive a moment after the image and is then waited for, if the
previous image had one. Otherwise the image keeps what was there when it arrived: later messages are for later images.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from builtin_interfaces.msg import Time

from ..once import Once
from .conversions import nanoseconds

M = TypeVar("M")
Stamped: TypeAlias = tuple[int, M]  # nanoseconds, message
# Of the messages received when an image of that stamp (ns) arrived: the one it keeps if it has none of its own.
Choice: TypeAlias = Callable[[Sequence[Stamped[M]], int], Stamped[M]]

_KEPT = 8
_OPEN = 8  # images whose own message may still arrive


@dataclass
class _Pair(Generic[M]):
    stamp: int
    other: Stamped[M] | None
    own: Stamped[M] | None = None


class StampedMessages(Generic[M]):
    """The recent messages of a topic; any thread may call.

    `tolerance_s` is how far apart the stamps of an image and its own message may be; `choose` picks what an
    image without one keeps instead; `patience()` is how long (s) the own message is waited for.
    """

    def __init__(self, tolerance_s: float, choose: Choice[M], patience: Callable[[], float]) -> None:
        self._tolerance = round(1e9 * tolerance_s)
        self._choose, self._patience = choose, patience
        self._arrived = threading.Condition()
        self._recent: deque[Stamped[M]] = deque(maxlen=_KEPT)
        self._open: deque[_Pair[M]] = deque(maxlen=_OPEN)
        self._paired = False  # the last image had a message of its own

    def any(self) -> bool:
        """True once a message has arrived."""
        return bool(self._recent)

    def add(self, stamp: Time, msg: M) -> None:
        """Stores a message and hands it to the images that it belongs to."""
        arrived = nanoseconds(stamp), msg
        with self._arrived:
            self._recent.append(arrived)
            for pair in self._open:
                pair.own = pair.own or self._own(arrived, pair.stamp)
            self._arrived.notify_all()

    def pair(self, stamp: Time) -> Once[Stamped[M] | None]:
        """To be called when an image arrives: its message, decided at the first call; None if none has arrived."""
        at = nanoseconds(stamp)
        with self._arrived:
            recent = list(self._recent)
            pair = _Pair(at, self._choose(recent, at) if recent else None)
            near = [message for message in recent if self._own(message, at)]
            pair.own = min(reversed(near), key=lambda message: abs(message[0] - at), default=None)
            self._open.append(pair)
        return Once(lambda: self._settled(pair))

    def _own(self, message: Stamped[M], stamp: int) -> Stamped[M] | None:
        return message if abs(message[0] - stamp) <= self._tolerance else None

    def _settled(self, pair: _Pair[M]) -> Stamped[M] | None:
        with self._arrived:
            patience = self._patience() if self._paired else 0.0
            self._paired = self._arrived.wait_for(lambda: pair.own is not None, patience)
            return pair.own or pair.other
