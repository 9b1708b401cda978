"""Bundles: medias that share one port (RFC 9143)."""

from __future__ import annotations

from sdp.session import Media, Session


def mid(media: Media) -> str | None:
    """The name of a media (RFC 5888); None without one."""
    value = media.attribute("mid")
    return (value or "").strip() or None


def groups(session: Session) -> tuple[tuple[str, ...], ...]:
    """The mids of each ``a=group:BUNDLE``, in order. They need not belong to any media."""
    found = (value.split() for value in session.attributes("group"))
    return tuple(tuple(words[1:]) for words in found if words[:1] == ["BUNDLE"])


def leaders(session: Session) -> tuple[int | None, ...]:
    """For each media, the media whose port, ICE and DTLS it uses: itself if it leads, None without a bundle.

    The leader is the first of its group that has a port (RFC 9143, section 7.3.1; a bundle-only media never
    leads). A rejected media is in no bundle, and neither is one whose group has no leader. Where a mid
    stands for two medias, or in two groups, the first counts. Raises SdpError if the m= line of a media in
    a group is malformed.
    """
    indices: dict[str, int] = {}
    for index, media in enumerate(session.medias):
        name = mid(media)
        if name is not None:
            indices.setdefault(name, index)
    found: list[int | None] = [None] * len(session.medias)
    for group in groups(session):
        members = [indices.pop(name) for name in group if name in indices]
        leader = next((index for index in members if session.medias[index].port != 0), None)
        for index in members:
            if session.medias[index].port != 0 or bundle_only(session.medias[index]):
                found[index] = leader
    return tuple(found)


def bundled(session: Session, index: int) -> int | None:
    """``leaders()`` of one media."""
    return leaders(session)[index]


def bundle_only(media: Media) -> bool:
    """Whether an offer has this media only within a bundle: ``a=bundle-only`` and port 0.

    Such a media is not rejected as long as it has a leader. Where the port is another, ``a=bundle-only``
    says nothing (RFC 9143, section 6). Raises SdpError for a malformed m= line.
    """
    return media.attribute("bundle-only") is not None and media.port == 0
