# SPDX-License-Identifier: MIT
"""moves - rounds of migrations under load, for the test and the soak."""
import collections
import time

from migrate import (END, GuestFlows, Journey, Load, check_prefix, downtimes,
                     host_ends)
from vmtest import check_equal

# What guest and host write and read in a second; 0: all that goes.
Profile = collections.namedtuple("Profile", "name guest host")
PROFILES = [
    Profile("saturated", (0, 0), (0, 0)),
    Profile("paced", (200000, 0), (200000, 0)),
    Profile("slow host", (0, 0), (100000, 300000)),
    Profile("slow guest", (100000, 300000), (0, 0)),
]
COUNTS = (1, 8, 64)
# The pace of all streams together is what the emulated guest can stand.
TICK_MS = {1: 5, 8: 10, 64: 60}
PLAIN = 2
HOPS = 4


class Round:
    """One boot and a few moves; all streams that follow are exact at the end."""

    def __init__(self, t, seed, count, profile):
        self.t = t
        self.count = count
        self.profile = profile
        self.journey = Journey(t, seed, state=True)
        tick = TICK_MS[count]
        rates = [(w // count * 8 if w else 0, r // count * 8 if r else 0)
                 for w, r in (profile.guest, profile.host)]
        self.load = Load(self.journey, count, *rates, tick, follow=True)
        self.back = Load(self.journey, 1, *rates, tick, follow=True,
                         opened_by="guest")
        self.downtimes = []
        self.moves = []
        time.sleep(0.5)

    def hop(self, **more):
        """Returns a line that says how it went."""
        journey = self.journey
        early = journey.random.random() < 0.7
        plain = Load(journey, PLAIN, (50000, 0), (50000, 0), 20)
        move, source = journey.hop(early, **more)
        # A destination whose daemon comes late is down until then.
        self.moves.append((move, early))
        self.t.wait_peer(journey.daemon, 20)
        self.new_streams()
        self.check_plain(plain)
        self.load.going()
        self.back.going()
        source.close()
        return (f"{self.count} streams, {self.profile.name}, "
                f"{'early' if early else 'late'}, paused "
                f"{move.resumed - move.stopped:.0f} ms")

    def new_streams(self):
        name = f"org.example.new{self.journey.hops}"
        serve = GuestFlows(self.journey, f"-l host {name}", "echo")
        serve.wait_listening()
        self.t.host_connect(self.journey.daemon, name, "duplex", 50000,
                            1).ok(20)
        serve.job.kill()

    @staticmethod
    def check_plain(plain):
        """Who does not follow is told; nothing is silently lost."""
        host = host_ends(plain.outside, PLAIN, 10)
        guest = plain.inside.ends(PLAIN, 20)
        check_prefix(host, guest, "host's plain end of")
        check_prefix(guest, host, "guest's plain end of")
        plain.outside.wait(20)
        for where, text in (("host", plain.outside.errors()),
                            ("guest", plain.inside.read())):
            told = END.findall(text)
            check_equal(told, ["migrated"] * PLAIN, f"reasons on the {where}")
        plain.inside.job.kill()

    def finish(self):
        for load in (self.load, self.back):
            host, _ = load.finish(90)
            for move, counts in self.moves:
                if counts:
                    self.downtimes += downtimes(host, move)


def run_round(t, seed, count, profile, hops, passed):
    """Calls passed(text) for each move that went well; the last one only
    when all bytes are accounted for. Returns the downtimes."""
    travel = Round(t, seed, count, profile)
    for i in range(hops):
        text = travel.hop()
        if i < hops - 1:
            passed(text)
    travel.finish()
    passed(text + ", every byte once")
    return travel.downtimes
