"""The phones of one test."""

import secrets

from tests.interop.carrier import Carrier
from tests.interop.phone import Call, Phone
from tests.ng import Address


class Phones:
    """Makes phones for one test. The users' names are new for every test, so no registration is left over."""

    def __init__(self, proxy: Address) -> None:
        self._proxy = proxy
        self._suffix = secrets.token_hex(3)
        self._phones: list[Phone] = []

    def name(self, user: str) -> str:
        """The name of a user of this test whose phone is made elsewhere."""
        return f"{user}-{self._suffix}"

    def new(self, user: str, device: int, *, strict: bool = False, parameters: str = "") -> Phone:
        """A phone at 127.0.0.`device`. Two phones with one name are two devices of one user."""
        phone = Phone(self.name(user), f"127.0.0.{device}", self._proxy, strict=strict, parameters=parameters)
        self._phones.append(phone)
        return phone

    def carrier(self, user: str, device: int) -> Carrier:
        """A phone that carries the descriptions of somebody else."""
        carrier = Carrier(f"{user}-{self._suffix}", f"127.0.0.{device}", self._proxy)
        self._phones.append(carrier)
        return carrier

    def close(self) -> None:
        for phone in self._phones:
            phone.close()


def connect(alice: Phone, bob: Phone, *words: str) -> tuple[Call, Call]:
    """A call from `alice` to `bob`, answered after ringing."""
    outgoing = alice.call(bob.user, *words)
    incoming = bob.incoming()
    incoming.ring()
    outgoing.wait_for_status(180)  # a proxy with several workers may send on a 200 before it
    incoming.answer()
    outgoing.wait_for_answer()
    return outgoing, incoming
