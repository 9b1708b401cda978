"""A scripted SIP phone: registers, calls, rings, answers, holds, moves its media, hangs up.

The test says what the phone does; retransmissions, ACKs, answers to re-INVITEs, CANCEL and BYE
come by themselves. Every phone has an address of its own, and its media run in a thread.
"""

import secrets
from collections import deque
from dataclasses import dataclass, field

from tests.interop.endpoint import Endpoint
from tests.interop.rtp import Media
from tests.interop.sip import (
    MIRRORED,
    Description,
    Message,
    describe,
    new_branch,
    new_tag,
    response,
    routes,
)
from tests.ng import Address

REASONS = {
    180: "Ringing", 183: "Session Progress", 200: "OK", 404: "Not Found", 481: "No Such Call",
    486: "Busy Here", 487: "Request Terminated",
}  # fmt: skip
PATIENCE = 8.0
"""Seconds to wait for a peer. Kamailio repeats a lost ng command after one second, and a call has several."""


class Phone(Endpoint):
    """One device of user `user`, at `host`, behind the proxy at `proxy`."""

    def __init__(
        self, user: str, host: str, proxy: Address, *, strict: bool = False, parameters: str = ""
    ) -> None:
        """`parameters`, such as ";webrtc", are what the URI in our Contact ends with."""
        super().__init__(host)
        self.parameters = parameters
        self.user = user
        self.host = host
        self.proxy = proxy
        self.strict = strict
        self.calls: dict[str, Call] = {}
        self._incoming: deque[Call] = deque()
        self._registrations = 0
        self._registration_id = f"{secrets.token_hex(6)}@{host}"
        self._answered: dict[str, int] = {}
        self._medias: list[Media] = []
        self.start()

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}@{self.address[0]}:{self.address[1]}{self.parameters}>"

    def uri(self, user: str) -> str:
        return f"sip:{user}@{self.proxy[0]}:{self.proxy[1]}"

    def media(self, host: str | None = None) -> Media:
        """A new RTP endpoint, at this phone's address or (another device) at `host`."""
        media = Media(host or self.host, strict=self.strict)
        self._medias.append(media)
        return media

    def register(self, contact: str | None = None) -> None:
        """Register this device, or another `contact` for the same user."""
        self._registrations += 1
        request = Message(f"REGISTER sip:{self.proxy[0]}:{self.proxy[1]} SIP/2.0")
        request.headers = [
            *self.via(),
            ("From", f"<{self.uri(self.user)}>;tag={new_tag()}"),
            ("To", f"<{self.uri(self.user)}>"),
            ("Call-ID", self._registration_id),
            ("CSeq", f"{self._registrations} REGISTER"),
            ("Contact", contact or self.contact),
            ("Expires", "300"),
        ]
        self.send_request(request, self.proxy)
        branch = request.branch
        self.wait_for(lambda: self._answered.get(branch) == 200, f"{self.user} registered", PATIENCE)

    def call(self, user: str, *words: str, sdp: str | None = None, late: bool = False) -> "Call":
        """Send an INVITE; `words` tell Kamailio how to drive the relay (see kamailio.cfg).

        `sdp` describes media that somebody else has, such as a WebRTC stack: ours stay silent.
        """
        with self.changed:
            peer = self.uri(user)
            call = self.new_call(f"{secrets.token_hex(6)}@{self.host}", f"<{peer}>", peer)
            call.words = words
            call.sdp, call.late = sdp, late
            call.direction = "sendrecv"
            self.calls[call.id] = call
            call.send_invite()
        return call

    def incoming(self, timeout: float = PATIENCE) -> "Call":
        """The next call that comes in."""
        self.wait_for(lambda: bool(self._incoming), f"a call for {self.user} at {self.host}", timeout)
        return self._incoming.popleft()

    def new_call(self, id: str, peer: str, target: str) -> "Call":
        """What a dialog of this phone is."""
        return Call(self, id, peer, target)

    def close(self) -> None:
        super().close()
        for media in self._medias:
            media.close()

    def via(self, branch: str | None = None) -> list[tuple[str, str]]:
        """Via and Max-Forwards of a request of ours."""
        host, port = self.address
        return [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch={branch or new_branch()}"),
            ("Max-Forwards", "70"),
        ]

    def on_response(self, response: Message) -> None:
        if response.method == "REGISTER":
            self._answered[response.branch] = response.status
        elif call := self.calls.get(response.get("Call-ID")):
            call.on_response(response)

    def on_request(self, request: Message) -> None:
        call = self.calls.get(request.get("Call-ID"))
        if call is not None:
            call.on_request(request)
        elif request.method == "INVITE":
            call = self.new_call(request.get("Call-ID"), request.get("From"), request.uri("Contact"))
            call.accept_invite(request)
            self.calls[call.id] = call
            self._incoming.append(call)
        elif request.method != "ACK":
            self.send_response(request, response(request, 481, REASONS[481]))


@dataclass
class Call:
    """One dialog of a phone, from INVITE to BYE.

    `told` keeps every SDP in the order it came: the last one is where our media goes. `early` keeps
    the SDP of provisional responses by the To tag of the branch they came from.
    """

    phone: Phone
    id: str
    peer: str
    target: str
    words: tuple[str, ...] = ()
    sdp: str | None = None
    late: bool = False
    """The INVITE has no SDP: the callee offers, and we answer in the ACK (RFC 3261, section 13.2.1)."""
    direction: str = "sendrecv"
    tag: str = field(default_factory=new_tag)
    route: list[str] = field(default_factory=list)
    media: Media = field(init=False)
    told: list[Description] = field(default_factory=list)
    early: dict[str, Description] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    answered: bool = False
    acknowledged: bool = False
    ended: bool = False
    cancelled: bool = False
    _invite: Message | None = None
    _sequence: int = 0
    _described: list[tuple[Address, str]] = field(default_factory=list)
    _finals: dict[int, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.media = self.phone.media()

    @property
    def remote(self) -> Description:
        """The SDP in force."""
        return self.told[-1]

    # What a caller does.

    def wait_for_status(self, status: int, timeout: float = PATIENCE) -> None:
        self.phone.wait_for(lambda: status in self.statuses, f"{status} to the INVITE", timeout)

    def wait_for_early_media(self, branches: int = 1, timeout: float = PATIENCE) -> None:
        """Until as many branches have sent a provisional response with SDP."""
        self.phone.wait_for(
            lambda: len(self.early) >= branches, f"early media of {branches} branches", timeout
        )

    def wait_for_answer(self, timeout: float = PATIENCE) -> None:
        self.phone.wait_for(lambda: self.answered, "200 to the INVITE", timeout)

    def cancel(self) -> None:
        """Give up before the answer; returns when the INVITE has its 487."""
        assert self._invite is not None
        request = Message(f"CANCEL {self._invite.start.split()[1]} SIP/2.0")
        for name, value in self._invite.headers:
            if name in ("Via", "Max-Forwards", "From", "To", "Call-ID", "X-Relay"):
                request.headers.append((name, value))
        request.headers.append(("CSeq", f"{self._invite.sequence} CANCEL"))
        self.phone.send_request(request, self.phone.proxy)
        self.wait_for_status(487)

    # What a callee does.

    def ring(self) -> None:
        self._respond(180)

    def progress(self) -> None:
        """Early media: 183 with SDP, and we begin to talk."""
        self._respond(183, sdp=True)
        self._talk()

    def answer(self, sdp: str | None = None) -> None:
        """Accept, with our media or those that `sdp` describes; returns when the ACK is here."""
        self.sdp = sdp
        self._respond(200, sdp=True)
        self.answered = True
        if self.told:
            self._talk()
        self.phone.wait_for(lambda: self.acknowledged, "ACK", PATIENCE)

    def reject(self, status: int) -> None:
        self._respond(status)
        self.ended = True
        self.media.talking = False

    def wait_for_cancel(self, timeout: float = PATIENCE) -> None:
        self.phone.wait_for(lambda: self.cancelled, "CANCEL", timeout)

    # What both do.

    def reinvite(self, direction: str | None = None, media: Media | None = None, *words: str) -> Description:
        """Offer a new direction, or other media (another device); returns the SDP of the answer."""
        with self.phone.changed:
            self.direction = direction or self.direction
            if media is not None:
                self.media.talking = False
                self.media = media
            self.words = (*self.words, *words)
            sequence = self.send_invite()
        self.phone.wait_for(lambda: sequence in self._finals, "answer to the re-INVITE", PATIENCE)
        final = self._finals[sequence]
        assert final.status == 200, f"re-INVITE answered with {final.start}"
        return self.remote

    def hang_up(self) -> None:
        """Send BYE; returns when it is answered."""
        request = self._request("BYE")
        sequence = request.sequence
        self.media.talking = False
        self.phone.send_request(request, self.phone.proxy)
        self.phone.wait_for(lambda: sequence in self._finals, "answer to BYE", PATIENCE)
        self.ended = True
        assert self._finals[sequence].status == 200

    def wait_for_end(self, timeout: float = PATIENCE) -> None:
        self.phone.wait_for(lambda: self.ended, "the end of the call", timeout)

    # Messages.

    def send_invite(self) -> int:
        """INVITE or re-INVITE with our SDP, unless that comes late; returns its sequence number."""
        request = self._request("INVITE", "" if self.late else self._describe())
        self._invite = request
        self.phone.send_request(request, self.phone.proxy)
        return request.sequence

    def accept_invite(self, request: Message) -> None:
        """A new call came in: remember the caller's SDP, the route back, and the script words."""
        self._invite = request
        self.words = tuple(request.get("X-Relay").split())
        self.route = routes(request)
        if request.body:
            self._hear(Description.parse(request.body))
        self.phone.send_response(request, response(request, 100, "Trying"))

    def on_request(self, request: Message) -> None:
        match request.method:
            case "ACK":
                self.acknowledged = True
                if request.body:
                    self._hear(Description.parse(request.body))
                    self._talk()
            case "BYE":
                self.ended = True
                self.media.talking = False
                self.phone.send_response(request, response(request, 200, REASONS[200]))
            case "CANCEL":
                self.phone.send_response(request, response(request, 200, REASONS[200]))
                if not self.answered:
                    self.cancelled = True
                    self.reject(487)
            case "INVITE":
                self._on_reinvite(request)

    def on_response(self, message: Message) -> None:
        if message.status >= 200:
            self._finals[message.sequence] = message
        if message.method != "INVITE":
            return
        self.statuses.append(message.status)
        if message.status >= 300:
            self._acknowledge_failure(message)
        elif message.status >= 200:
            self._on_success(message)
        elif message.body and not self.answered:
            self.early[message.tag("To")] = Description.parse(message.body)
            self._hear(self.early[message.tag("To")])
            self._talk()

    def _on_success(self, message: Message) -> None:
        if not self.answered:
            self.answered = True
            self.peer = message.get("To")
            self.route = routes(message)[::-1]
        self.target = message.uri("Contact")
        acknowledge = self._request("ACK", self._describe() if self.late else "")
        acknowledge.headers = [
            (name, f"{message.sequence} ACK" if name == "CSeq" else value)
            for name, value in acknowledge.headers
        ]
        self.phone.send_request(acknowledge, self.phone.proxy)
        description = Description.parse(message.body)
        if not self.told or description.text != self.remote.text:
            self._hear(description)
        self._talk()

    def _acknowledge_failure(self, message: Message) -> None:
        assert self._invite is not None
        request = Message(f"ACK {self._invite.start.split()[1]} SIP/2.0")
        request.headers = [
            *self.phone.via(message.branch),
            ("From", message.get("From")),
            ("To", message.get("To")),
            ("Call-ID", self.id),
            ("CSeq", f"{message.sequence} ACK"),
        ]
        self.phone.send_request(request, self.phone.proxy)
        if not self.answered:
            self.ended = True
            self.media.talking = False

    def _on_reinvite(self, request: Message) -> None:
        self._invite = request
        self.target = request.uri("Contact")
        offer = Description.parse(request.body)
        self._hear(offer)
        self.direction = MIRRORED[offer.direction]
        self._respond(200, sdp=True)
        self._talk()

    def _respond(self, status: int, *, sdp: bool = False) -> None:
        assert self._invite is not None
        reply = response(self._invite, status, REASONS[status], self.tag)
        reply.headers.append(("Contact", self.phone.contact))
        if sdp:
            reply.headers.append(("Content-Type", "application/sdp"))
            reply.body = self._describe()
        self.phone.send_response(self._invite, reply)

    def _request(self, method: str, body: str = "") -> Message:
        self._sequence += 1
        request = Message(f"{method} {self.target} SIP/2.0")
        request.headers = [
            *self.phone.via(),
            *(("Route", route) for route in self.route),
            ("From", f"<{self.phone.uri(self.phone.user)}>;tag={self.tag}"),
            ("To", self.peer),
            ("Call-ID", self.id),
            ("CSeq", f"{self._sequence} {method}"),
            ("Contact", self.phone.contact),
        ]
        if self.words:
            request.headers.append(("X-Relay", " ".join(self.words)))
        if body:
            request.headers.append(("Content-Type", "application/sdp"))
            request.body = body
        return request

    def _describe(self) -> str:
        """Our SDP; its version rises when something changed (RFC 3264, section 5)."""
        if self.sdp is not None:
            return self.sdp
        now = (self.media.address, self.direction)
        if not self._described or self._described[-1] != now:
            self._described.append(now)
        return describe(self.media.address, len(self._described), self.direction)

    def _hear(self, description: Description) -> None:
        self.told.append(description)
        self.media.talk_to(description.address)

    def _talk(self) -> None:
        self.media.talk_to(self.remote.address)
        self.media.talking = self.sdp is None and self.direction in ("sendrecv", "sendonly")
