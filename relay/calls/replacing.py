"""Something else in the place of RTP: a fax is found in a call, and a party offers T.38 at its ``m=`` line.

The other party may refuse that with an error response, of which nobody tells us.
So RTP goes on as it is, with its ports, ICE and keys, until the answer:

    RTP --- T.38 is offered ---> RTP, the offer waits --- it is answered ---> T.38
     ^                                |
     +--- the next offer is of RTP ---+

The way back is at once. What is to be encrypted is never sent in the clear, and nobody minds if a fax that is
over hears no more.
"""

from __future__ import annotations

from relay.calls import bundles, leg_ice
from relay.calls.describe import Handling, listen
from relay.calls.resources import Resources
from relay.calls.state import Leg, Media, Mode, Offered
from sdp.ice import IceDescription


def waits(how: Handling, *ends: tuple[Leg, Media]) -> bool:
    """Whether an offer that is to be handled so puts something else in the place of RTP that is in use."""
    return how is Handling.OPAQUE and all(
        media.described and media.streams and not media.opaque and not bundles.is_shared(leg, media)
        for leg, media in ends
    )


def take_over(media: Media, offered: Offered, said: IceDescription, leg: Leg, resources: Resources) -> None:
    """The offer of this leg is answered: what it says holds from now on, all but its addresses.

    ``said``: what it says of ICE.
    """
    listen(leg, media, offered.session, offered.section, offered.request)
    mode = media.ice.mode if media.ice is not None and said.offered else Mode.OFF
    leg_ice.settle(media, leg, mode, False, resources, leg_ice.restarted(media, said))
    media.mux = media.mux_offered = False
    media.through = True
    media.offered = None
