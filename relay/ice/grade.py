"""What a path has come to, in a word for people: the grades of trust that ``relay.ice.agent`` draws."""

from __future__ import annotations

from relay.ice.path_state import PathState


def grade(state: PathState, selected: bool, waits: bool) -> str:
    """``selected``, ``usable`` (a check of ours was answered), ``heard`` (an authenticated request came),
    ``checking``, ``failed``, or ``lost`` (consent is over). ``waits``: a check waits for its turn.
    """
    if selected:
        return "selected"
    if state.lost:
        return "lost"
    if state.valid:
        return "usable" if state.answered else "heard"
    return "failed" if state.check is None and not waits else "checking"
