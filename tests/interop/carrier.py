"""A SIP phone whose descriptions and media are those of another program: of a WebRTC stack, say."""

from dataclasses import dataclass, field

from tests.interop.phone import PATIENCE, REASONS, Call, Phone
from tests.interop.sip import Description, Message, response

SDPFRAG = "application/trickle-ice-sdpfrag"


class Carrier(Phone):
    """Set `body`, then call or answer: it is the offer or the answer."""

    body = ""

    def new_call(self, id: str, peer: str, target: str) -> "Carried":
        return Carried(self, id, peer, target)


@dataclass
class Carried(Call):
    """A dialog that says what its phone's `body` says; what it is told is in `told`."""

    fragments: list[str] = field(default_factory=list)
    """Bodies of the INFO requests with candidates that came."""

    def trickle(self, fragment: str) -> None:
        """Send candidates by INFO (RFC 8840, section 4.4); returns when it has its 200."""
        request = self._request("INFO")
        request.headers += [
            ("Info-Package", "trickle-ice"),
            ("Content-Disposition", "Info-Package"),
            ("Content-Type", SDPFRAG),
        ]
        request.body = fragment
        sequence = request.sequence
        self.phone.send_request(request, self.phone.proxy)
        self.phone.wait_for(lambda: sequence in self._finals, "answer to INFO", PATIENCE)
        assert self._finals[sequence].status == 200, self._finals[sequence].start

    def on_request(self, request: Message) -> None:
        if request.method == "INFO":
            self.fragments.append(request.body)
            self.phone.send_response(request, response(request, 200, REASONS[200]))
        else:
            super().on_request(request)

    def _describe(self) -> str:
        assert isinstance(self.phone, Carrier)
        return self.phone.body

    def _hear(self, description: Description) -> None:
        self.told.append(description)

    def _talk(self) -> None:
        """The other program does."""
