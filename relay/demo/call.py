"""One call: two phones, a proxy between them, and the relay that the proxy asks."""

from __future__ import annotations

import asyncio
import secrets
from importlib import resources

import sdp
import sdp.dtls
import sdp.ice
from relay.demo import counted, media
from relay.demo.compare import compare
from relay.demo.counted import Counted
from relay.demo.errors import CallFailed
from relay.demo.figures import Flow, verdict
from relay.demo.phone import Phone
from relay.demo.proxy import Proxy
from relay.demo.screen import Screen, Whereabouts
from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Role
from relay.forward.rule import Address
from relay.ice import credentials
from relay.ice.credentials import Credentials
from relay.ng.bencode import Encodable

CALLER_ADDRESS, CALLEE_ADDRESS = "127.0.0.2", "127.0.0.3"

OFFER = "twelve-candidates-offer.sdp"
"""In the package's data; after the form of Chromium's offers."""

ANSWER = """\
v=0
o=- 20518 1 IN IP4 {ip}
s=-
t=0 0
m=audio {port} UDP/TLS/RTP/SAVPF 111
c=IN IP4 {ip}
a=candidate:1 1 udp 2130706431 {ip} {port} typ host
a=ice-ufrag:{ufrag}
a=ice-pwd:{pwd}
a=fingerprint:{fingerprint}
a=setup:active
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
"""

STRAGGLERS = 0.2
"""Seconds to wait for the last packets; on loopback they need less than one millisecond."""

SETTLE = 0.3
"""Seconds between the end of the phones' handshakes and their first packets: plenty on a loaded machine."""

CONSENT = 250
"""Packets between two checks of a phone that keeps its consent fresh: 5 s."""


async def place_call(ng: Address, seconds: float, screen: Screen) -> bool:
    """Call through the relay at ``ng`` and send media for ``seconds``. Returns whether media flowed.

    Raises ``CallFailed`` where it does not come to media, or the relay refuses something.
    """
    offer = resources.files("relay").joinpath("data", OFFER).read_bytes().decode()
    callers = _credentials(sdp.Session.parse(offer))
    caller = Phone("caller", CALLER_ADDRESS, callers, controlling=True)
    callee = Phone("callee", CALLEE_ADDRESS, credentials.new(), controlling=False)
    proxy = Proxy(ng)
    caller.listen_to(callee)
    callee.listen_to(caller)
    try:
        return await _Call(caller, callee, proxy, screen).run(_promising(offer, caller), seconds)
    finally:
        proxy.close()
        caller.close()
        callee.close()


class _Call:
    """What the steps of one call have in common."""

    def __init__(self, caller: Phone, callee: Phone, proxy: Proxy, screen: Screen) -> None:
        self.caller, self.callee = caller, callee
        self.proxy, self.screen = proxy, screen
        self.id: dict[str, Encodable] = {"call-id": f"demo-{secrets.token_hex(4)}", "from-tag": "caller"}

    async def run(self, offer: str, seconds: float) -> bool:
        """The whole call. Returns whether media flowed."""
        offered = self.proxy.ask("offer", {**self.id, "ICE": "force", "sdp": offer})
        self.screen.offer(compare(offer, offered.sdp), offered.seconds)
        answer = self._answer()
        answered = self.proxy.ask("answer", {**self.id, "to-tag": "callee", "sdp": answer})
        told = {self.caller: _parsed(answered.sdp), self.callee: _parsed(offered.sdp)}
        await self._connect(told)
        self.screen.talking(seconds)
        await self._talk(max(1, round(seconds / media.PACKET_TIME)))
        return self._report(offer, answer, told)

    def _answer(self) -> str:
        ip, port = self.callee.at
        own = self.callee.credentials
        promised = self.callee.identity.fingerprint()
        text = ANSWER.format(ip=ip, port=port, ufrag=own.ufrag, pwd=own.pwd, fingerprint=promised)
        return text.replace("\n", "\r\n")

    async def _connect(self, told: dict[Phone, sdp.Session]) -> None:
        await asyncio.gather(
            *(phone.connect(_default(said), _credentials(said), *_keys(said)) for phone, said in told.items())
        )

    async def _talk(self, count: int) -> None:
        """Four sendings spread over a packet time, so that none waits for another.

        The first waits a little: our last flight has to reach the relay before it has the keys.
        """
        loop = asyncio.get_running_loop()
        turns = (
            self.caller.say,
            lambda: self.caller.say_directly(self.callee),
            self.callee.say,
            lambda: self.callee.say_directly(self.caller),
        )
        step = media.PACKET_TIME / len(turns)
        due = loop.time() + SETTLE
        for number in range(count):
            if number % CONSENT == CONSENT - 1:
                self.caller.renew_consent()
                self.callee.renew_consent()
            for turn in turns:
                await asyncio.sleep(due - loop.time())
                turn()
                due += step
        await asyncio.sleep(STRAGGLERS)

    def _report(self, offer: str, answer: str, told: dict[Phone, sdp.Session]) -> bool:
        complaint: CallFailed | None = None
        counts: dict[str, Counted] = {}
        try:
            counts = counted.read(self.proxy.ask("query", self.id).reply)
            self.proxy.ask("delete", self.id)
        except CallFailed as error:
            complaint = error
        said = {self.caller: offer, self.callee: answer}
        self.screen.places([_whereabouts(phone, said[phone], told[phone], counts) for phone in told])
        flows = [
            Flow.between(self.caller, self.callee, counts.get("caller")),
            Flow.between(self.callee, self.caller, counts.get("callee")),
        ]
        flowed = all(flow.flowed for flow in flows)
        self.screen.flows(flows)
        self.screen.verdict(flowed, verdict(flows))
        if complaint is not None:
            raise complaint
        return flowed


def _whereabouts(phone: Phone, said: str, told: sdp.Session, counts: dict[str, Counted]) -> Whereabouts:
    seen = counts.get(phone.name)
    return Whereabouts(
        name=phone.name,
        at=phone.at,
        says=_default(_parsed(said)),
        told=_default(told),
        heard_from=phone.heard.sources,
        seen_at=seen.source if seen else None,
    )


def _parsed(text: str) -> sdp.Session:
    try:
        return sdp.Session.parse(text)
    except sdp.SdpError as error:
        raise CallFailed(f"the relay's SDP cannot be read: {error}") from error


def _first(session: sdp.Session) -> sdp.Media:
    if not session.medias:
        raise CallFailed("the relay's SDP has no media")
    return session.medias[0]


def _default(session: sdp.Session) -> Address:
    """Where the first media is to be sent, by its c= and m= lines. Raises ``CallFailed``."""
    first = _first(session)
    where = sdp.connection(session, first)
    if where is None:
        raise CallFailed("the relay's SDP names no address for media")
    return where.address, first.port


def _promising(offer: str, phone: Phone) -> str:
    """The recorded offer with this phone's certificate in place of the recorded one's."""
    lines = offer.splitlines(keepends=True)
    ours = f"a=fingerprint:{phone.identity.fingerprint()}\r\n"
    return "".join(ours if line.startswith("a=fingerprint:") else line for line in lines)


def _keys(session: sdp.Session) -> tuple[Role, Fingerprint]:
    """The phone's role towards the relay, and the certificate to expect. Raises ``CallFailed``."""
    said = sdp.dtls.read(session, _first(session))
    if not said.fingerprints:
        raise CallFailed("the relay's SDP has no a=fingerprint, so there is nobody to shake hands with")
    role = Role.PASSIVE if said.setup is sdp.Setup.ACTIVE else Role.ACTIVE
    return role, Fingerprint.parse(str(said.fingerprints[0]))


def _credentials(session: sdp.Session) -> Credentials:
    """Raises ``CallFailed`` where there are none."""
    said = sdp.ice.read(session, _first(session))
    if said.ufrag is None or said.pwd is None:
        raise CallFailed("the relay's SDP has no a=ice-ufrag and a=ice-pwd, which ICE=force asked for")
    return Credentials(said.ufrag, said.pwd)
