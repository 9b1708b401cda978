from __future__ import annotations

import json
import re

from sdp.reason import Reason


def test_a_reason_is_its_code() -> None:
    assert Reason("host-useless") is Reason.HOST_USELESS
    assert f"{Reason.HOST_USELESS}" == "host-useless"
    assert json.dumps([Reason.INVALID]) == '["invalid"]'


def test_every_reason_has_a_plain_code_and_a_sentence_of_its_own() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", reason) for reason in Reason)
    assert all(len(reason.sentence.split()) > 3 for reason in Reason)
    assert len({reason.sentence for reason in Reason}) == len(Reason)
