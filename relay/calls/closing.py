"""What is rejected gives back its ports, and with them its ICE and keys."""

from __future__ import annotations

from relay.calls import bundles
from relay.calls.state import Call, Leg, Media


def settle(call: Call) -> None:
    """No further answer is expected: what every answer rejected gives its ports back."""
    call.settle()
    for leg in call.legs.values():
        peers = [call.legs[id] for id in leg.links if id in call.legs]
        if not peers:
            continue
        live = [
            any(media.index < len(peer.medias) and peer.medias[media.index].streams for peer in peers)
            for media in leg.medias
        ]
        bundles.regroup(leg, bundles.remaining(leg, live))
        for media, is_live in zip(leg.medias, live, strict=True):
            if not is_live:
                abandon(media)
        forget_closed(leg)


def forget_closed(leg: Leg) -> None:
    """Keys and handshakes end with the ports that they were for."""
    for media in leg.medias:
        if media.security is not None:
            media.security.keep_only({stream.component for stream in media.streams})


def abandon(media: Media) -> None:
    """Rejected, or not ours: no ports, no ICE."""
    media.streams, media.retiring = [], []
    media.ice, media.offered, media.described = None, None, False
