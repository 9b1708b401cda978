"""One call as a proxy sees it: offers and answers between alice (tag A) and bob (tag B)."""

from dataclasses import dataclass
from typing import Any

from tests.blackbox.description import Description
from tests.ng import NgClient, Reply, Value, hyphens


@dataclass
class Dialogue:
    """Sends the commands of one call; every keyword is an ng key."""

    client: NgClient
    call_id: str

    def offer(self, sdp: str, **keys: Value) -> Description:
        """What the other party gets; alice offers unless ``from_tag`` says otherwise."""
        return described(self.ask("offer", **{"sdp": sdp, "from_tag": "A", **keys}))

    def answer(self, sdp: str, **keys: Value) -> Description:
        """What the offerer gets; bob answers alice unless the tags say otherwise."""
        return described(self.ask("answer", **{"sdp": sdp, "from_tag": "A", "to_tag": "B", **keys}))

    def ask(self, command: str, **keys: Value) -> Reply:
        """The reply to any command of this call."""
        return self.client.send_message({"call-id": self.call_id, **hyphens(keys), "command": command})

    def query(self) -> Any:
        """The report; its values are only looked at, so their types are not checked."""
        return self.ask("query")

    @property
    def tags(self) -> list[str]:
        """Tags of the parties, as ``query`` names them."""
        return list(self.query()["tags"])

    @property
    def exists(self) -> bool:
        return self.call_id in self.client.calls()


def described(reply: Reply) -> Description:
    """The SDP of a reply that succeeded."""
    assert reply["result"] == "ok", reply
    assert list(reply) == ["sdp", "result"]
    return Description(reply["sdp"])
