# Numbers of rules, ports and keys.

class _Unused:
    """Numbers 0 .. limit-1 that nobody uses; what was given back rests behind ``REST`` others."""

    REST = 256

    def __init__(self, limit):
        self.limit = limit
        self.touched = 0
        self._returned = deque()

    def take(self, what):
        if self._returned and (len(self._returned) > self.REST or self.touched == self.limit):
            return self._returned.popleft()
        if self.touched == self.limit:
            raise PlaneFull(f"all {self.limit} {what} are in use")
        self.touched += 1
        return self.touched - 1

    def give_back(self, number):
        self._returned.append(number)
