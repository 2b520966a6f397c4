"""Traffic: events of hours of the past, with late ones, and what they add up to.

Some hours are open at a time and receive events, the newest of them most. An hour is closed after a flush; now and then one that was
closed long ago is opened again for late events.
"""

import datetime
import random
import threading
import time

from hours import UTC, Counts

FIRST = datetime.datetime(2024, 5, 1, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
KINDS = ["click", "impression", "impression"]


class Model:
    """What was accepted, by hour: the numbers that every reader must give."""

    def __init__(self):
        self.clicks, self.impressions, self.users = {}, {}, {}

    def add(self, events):
        for at, user, kind in events:
            hour = FIRST + HOUR * ((at - milliseconds(FIRST)) // 3_600_000)
            counters = self.clicks if kind == "click" else self.impressions
            counters[hour] = counters.get(hour, 0) + 1
            self.users.setdefault(hour, set()).add(user)

    def counts(self, hour):
        clicks, impressions = self.clicks.get(hour, 0), self.impressions.get(hour, 0)
        return Counts(clicks + impressions, clicks, impressions, len(self.users[hour]))

    def all(self):
        return {hour: self.counts(hour) for hour in self.users}


def milliseconds(at):
    return int(at.timestamp() * 1000)


def events(rng, hour, count, users=400):
    """Random events (timestamp in milliseconds, user, kind) of an hour; few users have many of them."""
    start = milliseconds(hour)
    user = lambda: f"user{int(users * rng.random() ** 3)}"
    return [(start + rng.randrange(3_600_000), user(), rng.choice(KINDS)) for _ in range(count)]


class Traffic(threading.Thread):
    """Sends events to a server until `end`, and closes an hour every `pace` seconds."""

    def __init__(self, server, seed, pace):
        super().__init__(daemon=True)
        self.server, self.rng, self.pace = server, random.Random(seed), pace
        self.model, self.failure = Model(), None
        self.posts = self.sent = self.flushes = 0
        # Some of the requests, with their keys, to be repeated.
        self.kept = []
        self.open, self.newest = [FIRST], FIRST
        # The counts of the closed hours, which do not change while an hour is in here; and the lock for it, held for a look or a change.
        self.sealed, self.lock = {}, threading.Lock()
        self.ending = threading.Event()

    def closed(self):
        """Counts of the hours that receive nothing more until further notice and are in the table."""
        with self.lock:
            return dict(self.sealed)

    def run(self):
        try:
            while not self.ending.is_set():
                self.fill_and_close()
            self.close(self.open)
        except Exception as error:
            self.failure = error

    def end(self):
        """Stops sending, closes all hours and returns when that is done."""
        self.ending.set()
        self.join()

    def fill_and_close(self):
        until = time.monotonic() + self.pace
        while time.monotonic() < until and not self.ending.is_set():
            for _ in range(self.rng.randrange(2, 7)):
                self.send()
                time.sleep(0.02)
            self.flush()
        if len(self.open) > 3:
            self.close([self.rng.choice(self.open[:-1])])
        self.newest += HOUR
        self.open.append(self.newest)
        if self.rng.random() < 0.3:
            self.reopen()

    def send(self):
        hour = self.rng.choice(self.open + [self.newest] * 5)
        batch = events(self.rng, hour, self.rng.randrange(1, 800))
        late = self.rng.choice(self.open)
        batch += events(self.rng, late, self.rng.randrange(20))
        self.post(batch)

    def post(self, batch):
        key = f"request-{self.posts}"
        self.server.post(batch, key)
        self.model.add(batch)
        self.posts += 1
        self.sent += len(batch)
        if self.posts % 10 == 0:
            self.kept.append((key, batch))

    def flush(self):
        self.server.flush()
        self.flushes += 1

    def close(self, hours):
        self.flush()
        with self.lock:
            self.sealed.update((hour, self.model.counts(hour)) for hour in hours if hour in self.model.users)
        self.open = [hour for hour in self.open if hour not in hours]

    def reopen(self):
        """Opens a closed hour for late events."""
        with self.lock:
            if not self.sealed:
                return
            hour = self.rng.choice(sorted(self.sealed))
            del self.sealed[hour]
        self.open.insert(0, hour)
        self.post(events(self.rng, hour, self.rng.randrange(1, 50), users=600))
