# Pairs of SRTP keys, on Python's side.

class _Keys:
    """Both directions of a handle. The contexts are the worker's from the first rule on that names them."""

    def __init__(self, slot, profile, receive, send, before):
        self.slot = slot
        self.worker = None if before is None else before.worker
        self.receive, self.send = (profile, receive), (profile, send)
        if before is not None and before.receive == self.receive:
            self.arriving = before.arriving.share()
        else:
            self.arriving = srtp_library.Context(profile, receive, inbound=True)
        try:
            if before is not None and before.send == self.send:
                self.leaving = before.leaving.share()
            else:
                self.leaving = srtp_library.Context(profile, send, inbound=False)
        except BaseException:
            self.arriving.close()
            raise

    def close(self):
        self.arriving.close()
        self.leaving.close()
